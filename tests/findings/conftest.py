"""A results document built from plain figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

Figures = Mapping[str, Sequence[Sequence[float | None]]]
Build = Callable[..., dict[str, Any]]


def teacher(
    name: str,
    val_error: Sequence[float | None] = (20.0,),
    *,
    parameters: int = 1000,
    model: str = "plain-64",
    stop: str = "full",
    scaled: str | None = None,
    taught_by: str | None = None,
    made_of: str | None = None,
    test_error: Sequence[float | None] | None = None,
) -> dict[str, Any]:
    tests = val_error if test_error is None else test_error
    return {
        "name": name, "model": model, "parameters": parameters, "stop": stop, "scaled": scaled,
        "taught_by": taught_by, "made_of": made_of,
        "replicates": [
            {"replicate": r, "val_error": v, "test_error": t}
            for r, (v, t) in enumerate(zip(val_error, tests, strict=True))
        ],
    }  # fmt: skip


def build(
    errors: Figures,
    *,
    metric: str = "test_error",
    teachers: Sequence[dict[str, Any]] = (),
    label_noise: float = 0.0,
    classes: int = 10,
    config: dict[str, Any] | None = None,
    setups: Mapping[str, str] | None = None,
    taught_by: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """`errors[condition][replicate][seed]`; a condition "kd/large" is taught by "large"."""
    conditions, runs = [], []
    for name, replicates in errors.items():
        group, _, tutor = name.partition("/")
        conditions.append({
            "name": name, "group": group, "teacher": (taught_by or {}).get(name, tutor or None),
            "student": "plain-8", "loss": (setups or {}).get(group, "KD"), "epochs": 120,
            "decays": [36, 72],
        })  # fmt: skip
        for r, seeds in enumerate(replicates):
            for s, value in enumerate(seeds):
                runs.append({
                    "key": f"r{r}/{name}/s{s}", "condition": name, "role": "student",
                    "replicate": r, "seed": s, "status": "done", metric: value,
                })  # fmt: skip
    return {
        "schema": 1,
        "study": {
            "name": "study",
            "config": config or {},
            "data": {"classes": classes, "label_noise": label_noise},
        },
        "conditions": conditions,
        "teachers": list(teachers),
        "runs": runs,
    }


def row(results: dict[str, Any], key: str) -> dict[str, Any]:
    return next(run for run in results["runs"] if run["key"] == key)


@pytest.fixture(name="build")
def _build() -> Build:
    return build


@pytest.fixture(name="teacher")
def _teacher() -> Build:
    return teacher


@pytest.fixture(name="row")
def _row() -> Callable[[dict[str, Any], str], dict[str, Any]]:
    return row
