"""What is known of a teacher before students are trained: the figures that may choose one.

All are measured on validation images, with the teacher's logits as its students hear them (scaled,
where they are).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tutelage.config.schema_claims import PredictionConfig, Selector
from tutelage.findings.pairing import Results, teacher_errors, teacher_named

BETTER: dict[Selector, Literal["less", "more"]] = {
    "teacher_error": "less",
    "teacher_nll": "less",
    "teacher_ece": "less",
    "teacher_entropy": "more",
    "teacher_entropy_t4": "more",
    "teacher_variance": "more",
    "teacher_variance_t4": "more",
    "teacher_parameters": "less",
    "short_run": "less",
}
"""Which end is chosen. A soft teacher tells more of the classes than a sure one (Hinton et al.
2015, arXiv 1503.02531), and most where it tells the wrong classes apart (Li et al. 2022, arXiv
2210.04427); a teacher of nearly the student's size is easier to follow (Cho & Hariharan 2019,
arXiv 1910.01348)."""

CHOSEN_HERE = tuple(by for by in BETTER if by != "teacher_parameters")
"""Whose choices depend on the replicate, so that other teachers may be chosen otherwise."""

NAMES: dict[Selector, str] = {
    "teacher_error": "validation error",
    "teacher_nll": "validation NLL",
    "teacher_ece": "validation calibration error",
    "teacher_entropy": "validation entropy",
    "teacher_entropy_t4": "validation entropy at temperature 4",
    "teacher_variance": "variance of wrong classes",
    "teacher_variance_t4": "variance of wrong classes at temperature 4",
    "teacher_parameters": "number of parameters",
    "short_run": "validation error of a short run",
}


def better(config: PredictionConfig) -> Literal["less", "more"]:
    """Which end the selector of a claim chooses."""
    return config.better or BETTER[config.by]


def selector_values(
    results: Results, config: PredictionConfig, conditions: Sequence[str], replicate: int
) -> np.ndarray | None:
    """The selector's value [k] of every condition in a replicate, less being better (so its
    opposite where more is); None where one of them is not known, as of a diverged teacher."""
    entries = {condition["name"]: condition for condition in results["conditions"]}
    if config.by == "short_run":
        found = [_briefly(results, config, entries[c]["teacher"], replicate) for c in conditions]
    else:
        found = [_value(results, config.by, entries[c]["teacher"], replicate) for c in conditions]
    known = [value for value in found if value is not None]
    if len(known) < len(found):
        return None
    return np.array(known) * (1.0 if better(config) == "less" else -1.0)


def _briefly(
    results: Results, config: PredictionConfig, teacher: str, replicate: int
) -> float | None:
    """The mean validation error of the students that the short run has of a teacher."""
    names = {
        condition["name"]
        for condition in results["conditions"]
        if condition["group"] == config.short and condition["teacher"] == teacher
    }
    errors = [
        row["val_error"]
        for row in results["runs"]
        if row["condition"] in names and row["replicate"] == replicate
    ]
    known = [error for error in errors if error is not None]
    return float(np.mean(known)) if known and len(known) == len(errors) else None


def _value(results: Results, by: Selector, name: str | None, replicate: int) -> float | None:
    teacher = teacher_named(results, name)
    if teacher is None:
        return None
    if by == "teacher_parameters":
        return float(teacher["parameters"])
    return teacher_errors(teacher, by.replace("teacher_", "val_", 1)).get(replicate)
