"""Scenarios that pass through a choice on validation: predictions of the best teacher, and the best
cell of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from calibration.studies import Drawn, Errors, Pool, Rule, teacher
from tutelage.config.schema import ClaimsConfig

_TEACHERS = ("kd/a", "kd/b", "kd/c", "kd/d")
_BETWEEN, _WITHIN = 0.8, 1.2  # standard deviations of teachers and of students, in points
_SEEN = 400  # halves of students that a truth is averaged over
_LEAST = 0.01  # a margin, in points
_CELLS = {"tuned/1x": 1.0, "tuned/1x-wd4": 1.0, "tuned/2x": 2.0, "tuned/4x": 4.0}
_VALIDATION = 2.3  # points: the standard error of an error of 12 % on 200 images
_MANY = 100_000  # replicates that the truth of a search is averaged over

Selector = Callable[[np.random.Generator, np.ndarray], np.ndarray]
"""The teachers' validation errors, from what is really to be expected of their students."""


def noise(rng: np.random.Generator, expected: np.ndarray) -> np.ndarray:
    """A selector that knows nothing."""
    return rng.normal(20.0, 1.0, expected.shape)


def informed(rng: np.random.Generator, expected: np.ndarray) -> np.ndarray:
    """A selector that sees the students' expected errors, though not well."""
    return expected + rng.normal(0.0, 2.0, expected.shape)


def prediction(selector: Selector, shifts: Sequence[float], margin: float | None = None) -> Rule:
    """Four teachers, of which `shifts` tell the students' expected errors apart; each replicate's
    own differ from these by chance. The truth is the regret to be expected with its teachers, of
    which such a claim speaks; without a `margin`, that truth is the margin, if it can be one."""

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        expected = 20.0 + np.array(shifts) + rng.normal(0.0, _BETWEEN, (n, 4))
        values = selector(rng, expected)
        errors = {
            name: expected[:, [place]] + rng.normal(0.0, _WITHIN, (n, 3))
            for place, name in enumerate(_TEACHERS)
        }
        truth = _regret(rng, expected, values)
        claim = {"prediction": {"by": "teacher_error", "of": list(_TEACHERS)}}
        claims = _primary(**claim, margin=max(truth, _LEAST) if margin is None else margin)
        teachers = [
            teacher(name.removeprefix("kd/"), n, val_errors=values[:, place])
            for place, name in enumerate(_TEACHERS)
        ]
        blind = frozenset({"claim"} if selector is noise else ())
        return Drawn(errors, claims, {"claim": truth}, teachers, blind=blind)

    return draw


def _regret(rng: np.random.Generator, expected: np.ndarray, values: np.ndarray) -> float:
    """What the choice by `values` is to lose against the oracle that knows half of the students:
    of three, two in one fold and one in the other."""
    rows = np.arange(len(expected))
    oracle = 0.0
    for students in (2, 1):
        seen = expected + rng.normal(0.0, _WITHIN / np.sqrt(students), (_SEEN, *expected.shape))
        oracle += float(expected[rows, seen.argmin(axis=2)].mean()) / 2.0
    return float(expected[rows, values.argmin(axis=1)].mean()) - oracle


def search(pool: Pool, truth: float, permuted: Callable[..., Errors]) -> Rule:
    """A taught student against the cell of least validation error of four, all of them alike; it is
    moved until `truth` is its mean difference from the cell that is chosen.

    Validation errors are the runs' own test errors with the noise of 200 images, so that the choice
    profits from which runs came out well.
    """
    names = ["kd/large", *_CELLS]

    def one(rng: np.random.Generator, n: int) -> tuple[dict[str, np.ndarray], Errors]:
        errors = dict(permuted(pool, rng, n, names))
        seen = {name: e + rng.normal(0.0, _VALIDATION, e.shape) for name, e in errors.items()}
        return errors, seen

    @cache
    def gained() -> float:
        errors, seen = one(np.random.default_rng(1), _MANY)
        cells = np.stack([errors[name].mean(axis=1) for name in _CELLS])
        chosen = np.stack([seen[name].mean(axis=1) for name in _CELLS]).argmin(axis=0)
        return float((errors["kd/large"].mean(axis=1) - cells[chosen, np.arange(_MANY)]).mean())

    claims = _primary(difference=["kd/large", "tuned"], direction="less", margin=0.5,
                      account="full")  # fmt: skip

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        errors, seen = one(rng, n)
        errors["kd/large"] = errors["kd/large"] - gained() + truth
        return Drawn(errors, claims, {"claim": truth}, validation=seen, about=_costs())

    return draw


def _costs() -> Mapping[str, Mapping[str, Any]]:
    """All cells are within what the taught student costs with its teacher."""
    cells = {
        name: {"searched": length, "compute": {"own": length, "teacher": 0.0}}
        for name, length in _CELLS.items()
    }
    taught = {"searched": None, "compute": {"own": 1.5, "teacher": 3.0}}
    return {**cells, "kd/large": taught}


def _primary(**claim: Any) -> ClaimsConfig:
    return ClaimsConfig.model_validate({"primary": {"claim": claim}})
