"""A figure of a report, and the parts that all figures share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.reporting import charts
from tutelage.reporting.summary import Interval
from tutelage.reporting.words import listing


@dataclass(frozen=True, slots=True)
class Legend:
    """One entry, with `colour` a variable of page.css.

    `look` is one of theme.SHAPES, or solid, hollow, band, reference, line or dashed.
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
    """One or more charts with the same axes.

    `reading` says what the marks are, their interval and n; `caption` what the data come to.
    """

    id: str
    title: str
    reading: str
    legend: list[Legend]
    panels: list[Panel]
    caption: str
    small: bool = False


def numbers(interval: Interval, places: int = 5) -> dict[str, Any]:
    """An interval as a chart reads it: mean, low and high, rounded."""
    values = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {name: None if v is None else round(v, places) for name, v in values.items()}


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


def cut(intervals: Iterable[Interval], domain: tuple[float, float]) -> bool:
    """Whether an interval reaches beyond the axis."""
    low, high = domain
    return any(value < low or value > high for value in extent(intervals))


def reading(marks: str, lines: str, replicates: Iterable[int], counts: Iterable[str]) -> str:
    """What a chart's marks and lines are, over how many replicates, and n, in words.

    `marks` says what is drawn in any case; `lines` what is an interval, such as "lines". The
    figures of `counts` are replicates x students.
    """
    found = sorted(set(replicates))
    n = f"n = {' or '.join(sorted(set(counts)))} (replicates × students)"
    if found[-1] < 2:
        return f"{marks}; one replicate gives no interval; {n}."
    over = f"{found[0]} to {found[-1]}" if len(found) > 1 else f"{found[0]}"
    alone = "; one replicate alone gives none" if found[0] < 2 else ""
    return f"{marks}; {lines}: 95 % t interval over {over} replicates{alone}; {n}."


def against_scratch(gaps: Sequence[tuple[str, Interval]]) -> str:
    """How many conditions their paired intervals tell apart from scratch, and which, as a sentence.

    `gaps` are names with their paired differences in error; empty where none has an interval.
    """
    known = [(name, gap.low, gap.high) for name, gap in gaps if gap.low is not None]
    better = [name for name, _, high in known if high is not None and high < 0]
    worse = [name for name, low, _ in known if low is not None and low > 0]
    open_ = len(known) - len(better) - len(worse)
    parts = [
        f"{_are(len(names))} {word} than scratch ({listing(names)})"
        for names, word in ((better, "better"), (worse, "worse"))
        if names
    ]
    if open_:
        parts.append(f"{_are(open_)} not told apart from scratch")
    if not parts:
        return ""
    return f"By paired 95 % intervals, {listing(parts)}."


def _are(count: int) -> str:
    return f"{count} is" if count == 1 else f"{count} are"
