"""A figure of a report, and the parts that all figures share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.reporting import charts
from tutelage.reporting.summary import Condition, Interval


@dataclass(frozen=True, slots=True)
class Legend:
    """One entry, with `colour` a variable of page.css.

    `look` is dot, bar, band, reference, line or dashed.
    """

    text: str
    look: str
    colour: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart of a figure."""

    title: str
    note: str
    spec: charts.Spec


@dataclass(frozen=True, slots=True)
class Figure:
    """One or more charts with the same axes, a legend and a sentence that says what they show."""

    id: str
    title: str
    legend: list[Legend]
    panels: list[Panel]
    caption: str
    small: bool = False


def numbers(interval: Interval) -> dict[str, Any]:
    """An interval as a chart reads it: mean, low and high, rounded."""
    values = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {name: None if v is None else round(v, 5) for name, v in values.items()}


def extent(intervals: Iterable[Interval]) -> list[float]:
    """Every mean and bound, for finding an axis that shows them all."""
    return [v for i in intervals for v in (i.mean, i.low, i.high) if v is not None]


def padded(
    values: Sequence[float], share: float, within: tuple[float, float]
) -> tuple[float, float]:
    """The range of the values, wider by a share of it at both ends, but `within` what can be:
    an interval over few replicates may reach beyond."""
    least, most = within
    low, high = max(min(values), least), min(max(values), most)
    margin = (high - low) * share or 0.5
    return round(max(low - margin, least), 3), round(min(high + margin, most), 3)


def counts(conditions: Sequence[Condition]) -> str:
    """The conditions' replicates and students: `n = 6 × 3 (replicates × students)`."""
    found = sorted({condition.counts for condition in conditions})
    return f"n = {' or '.join(found)} (replicates × students)"


def interval_words(conditions: Sequence[Condition], of: str = "") -> str:
    """What the lines are, and n."""
    if all(len(condition.means("test_error")) < 2 for condition in conditions):
        return f"One replicate gives no interval; {counts(conditions)}."
    return f"Lines are 95 % t intervals {of}over replicate means; {counts(conditions)}."
