"""The methods that fail, on the same runs: what the statistics are built to avoid."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from calibration.studies import Pool
from tutelage.findings.best import excess
from tutelage.findings.intervals import t_interval


def failing(pool: Pool, studies: int, seed: int) -> list[dict[str, Any]]:
    """False findings, in percent, of methods that are in use elsewhere and of ours beside them."""
    return [
        *_students_as_units(pool, studies, seed),
        *_bootstrapped_argmin(pool, studies, seed),
        *_peeking(pool, studies, seed),
    ]


def _null(pool: Pool, rng: np.random.Generator, studies: int, n: int) -> np.ndarray:
    """Paired differences [studies, n, students] between two teachers alike, each replicate with a
    sign of its own."""
    apart = pool["kd/again"] - pool["kd/large"]
    rows = apart[rng.integers(len(apart), size=(studies, n))]
    return rows * rng.choice([-1.0, 1.0], size=(studies, n, 1))


def _outside(values: np.ndarray) -> np.ndarray:
    _, low, high = t_interval(values)
    return (low > 0.0) | (high < 0.0)


def _others(pool: Pool, rng: np.random.Generator, studies: int, n: int) -> np.ndarray:
    """The same between one condition and itself in other replicates."""
    order = np.argsort(rng.random((studies, len(pool["kd/large"]))), axis=1)[:, : 2 * n]
    return pool["kd/large"][order[:, :n]] - pool["kd/large"][order[:, n:]]


def _students_as_units(pool: Pool, studies: int, seed: int) -> list[dict[str, Any]]:
    rows = []
    kinds = {"replicates alike": _others, "teachers alike but for a millionth": _null}
    for (kind, draw), n in product(kinds.items(), (4, 8)):
        values = draw(pool, np.random.default_rng([seed, n]), studies, n)
        rows.append({
            "what": f"{n} {kind}, their students as units of a t interval",
            "theirs": 100 * float(_outside(values.reshape(studies, -1)).mean()),
            "ours": 100 * float(_outside(values.mean(2)).mean()),
        })  # fmt: skip
    return rows


def _bootstrapped_argmin(pool: Pool, studies: int, seed: int) -> list[dict[str, Any]]:
    """An optimum "inside", because 95 % of bootstrapped means have their least there."""
    rng = np.random.default_rng([seed, 5])
    names = ("kd/large", "kd/again", "twin", "kd/medium")
    stacked = np.stack([pool[name].mean(1) for name in names])  # [k, replicates]
    n, claimed, ours = 4, 0, 0
    for _ in range(studies):
        rows = stacked[:, rng.integers(stacked.shape[1], size=n)].T
        rows = np.take_along_axis(rows, np.argsort(rng.random(rows.shape), axis=1), axis=1)
        least = rows[rng.integers(n, size=(400, n))].mean(1).argmin(1)
        claimed += np.isin(least, (1, 2)).mean() >= 0.95
        gone = excess(rows, 0.05) > 0.0
        ours += bool(gone[0] and gone[3])
    return [{
        "what": "four conditions alike: the optimum is inside, by bootstrapped arg-min",
        "theirs": 100 * claimed / studies, "ours": 100 * ours / studies,
    }]  # fmt: skip


def _peeking(pool: Pool, studies: int, seed: int) -> list[dict[str, Any]]:
    """A look after every replicate from 5 to 40, stopping where an interval leaves out zero."""
    values = _null(pool, np.random.default_rng([seed, 40]), studies, 40).mean(2)
    ever = np.zeros(studies, dtype=bool)
    for n in range(5, 41):
        ever |= _outside(values[:, :n])
    return [{
        "what": "a t interval looked at after every replicate from 5 to 40",
        "theirs": 100 * float(ever.mean()), "ours": 100 * float(_outside(values).mean()),
    }]  # fmt: skip
