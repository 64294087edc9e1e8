"""Errors by class: of every condition, and where the primary claim's two conditions differ.

They are exploratory: as many comparisons as classes, without a verdict.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from tutelage.reporting.summary import Condition, Interval, Row, Summary

MOST_SHOWN = 12
"""Up to so many classes are all shown."""
_FEWER = 10  # how many are shown where there are more
_PAIRED = ("difference", "non_inferiority", "equivalence")
_FIELD = "test_class_errors"


@dataclass(frozen=True, slots=True)
class Classes:
    """The errors in percent by class, over replicates.

    `errors` has one entry a class for each condition (None where nothing is known); `differences`
    likewise the paired differences in points, first minus second of `pair`; they are empty where
    the study has no primary claim on two conditions that were trained.
    """

    names: list[str]
    errors: dict[str, list[Interval | None]]
    pair: tuple[str, str] | None
    differences: list[Interval | None]

    def shown(self) -> list[int]:
        """The classes for a short table, in their order if they are all of them.

        Else those in which the pair differs most; without a pair, the conditions among themselves.
        """
        if len(self.names) <= MOST_SHOWN:
            return [*range(len(self.names))]
        apart = self._apart if self.pair else self._spread
        return sorted(range(len(self.names)), key=lambda i: -apart(i))[:_FEWER]

    def _apart(self, number: int) -> float:
        found = self.differences[number]
        return abs(found.mean) if found else -1.0

    def _spread(self, number: int) -> float:
        means = [e.mean for row in self.errors.values() if (e := row[number])]
        return max(means) - min(means) if means else -1.0

    def extremes(self, condition: str) -> tuple[list[int], list[int]]:
        """The classes of a condition's least and greatest mean error; none where all are equal."""
        means = {i: e.mean for i, e in enumerate(self.errors[condition]) if e}
        low, high = min(means.values(), default=0.0), max(means.values(), default=0.0)
        if low == high:
            return [], []
        return [i for i, v in means.items() if v == low], [i for i, v in means.items() if v == high]


def by_class(summary: Summary) -> Classes | None:
    """The errors by class; None for a document without them."""
    spread = {c.name: _spread(c) for c in summary.conditions if c.runs}
    lengths = [len(run.get(_FIELD) or ()) for c in summary.conditions for run in c.runs]
    count = max(lengths, default=0)
    if not count:
        return None
    # A class without test images has no error, not even a diverged student's chance error.
    known = [any(_has(c, i) for c in spread.values()) for i in range(count)]
    errors = {
        name: [condition.interval(_metric(i)) if known[i] else None for i in range(count)]
        for name, condition in spread.items()
    }
    pair = _pair(summary, spread.keys())
    differences: list[Interval | None] = []
    if pair:
        first, second = (spread[name] for name in pair)
        differences = [first.minus(second, _metric(i)) if known[i] else None for i in range(count)]
    if not any(differences):
        pair, differences = None, []
    return Classes(_names(summary, count), errors, pair, differences)


def _metric(number: int) -> str:
    """One class's error as a metric; its ending makes a diverged student count as chance."""
    return f"class_{number}_error"


def _spread(condition: Condition) -> Condition:
    """The condition with each class's error as a figure of its runs."""
    runs = tuple(
        {key: run[key] for key in ("replicate", "seed", "status")}
        | {_metric(i): error for i, error in enumerate(run.get(_FIELD) or ())}
        for run in condition.runs
    )
    return replace(condition, runs=runs)


def _has(condition: Condition, number: int) -> bool:
    return any(run.get(_metric(number)) is not None for run in condition.runs)


def _names(summary: Summary, count: int) -> list[str]:
    """What the classes are called: their numbers, where the names are no names."""
    names = [str(name) for name in summary.study["data"].get("class_names") or ()]
    return names if len(set(names)) == count else [str(i) for i in range(count)]


def _pair(summary: Summary, trained: Collection[str]) -> tuple[str, str] | None:
    """The two conditions of the primary claim, if it has two and both were trained."""
    claims: Row = (summary.study["config"].get("claims") or {}).get("primary") or {}
    for claim in claims.values():
        for kind in _PAIRED:
            if claim.get(kind):
                first, second = claim[kind]
                return (first, second) if {first, second} <= set(trained) else None
    return None
