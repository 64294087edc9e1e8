"""The errors by class as a report shows them: chart, shaded tables, sentences and CSV rows."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tutelage.reporting import charts
from tutelage.reporting.classes import Classes
from tutelage.reporting.figure import Figure, Legend, Panel, cut, extent, numbers, padded, reading
from tutelage.reporting.grids import Cell, Column, Grid
from tutelage.reporting.summary import Interval, Summary
from tutelage.reporting.words import (
    NONE,
    listing,
    number,
    plural,
    plus_minus,
    with_bounds,
)

_LOWEST, _HIGHEST = "▾", "▴"
_MOST_CELLS = 4000  # a table of all classes with more than that is left to the CSV


def class_figure(summary: Summary, classes: Classes) -> Figure | None:
    """The paired difference in each class shown, the primary claim's first condition minus its
    second; None without such a claim."""
    shown = [i for i in classes.shown() if classes.pair and classes.differences[i]]
    if not classes.pair or not shown:
        return None
    found = {i: gap for i in shown if (gap := classes.differences[i])}
    first, second = classes.pair
    rows = [
        {
            "label": charts.label(classes.names[i]),
            "name": classes.names[i],
            "value": plus_minus(gap, 1, sign=True),
            **numbers(gap),
        }
        for i, gap in sorted(found.items(), key=lambda pair: pair[1].mean)
    ]
    domain = padded([0.0, *extent(found.values())], 0.09, (-100.0, 100.0))
    spec = charts.difference_rows(rows, title="difference in test error (points)", domain=domain)
    by_name = {condition.name: condition for condition in summary.conditions}
    how = reading(
        f"Marks are means of the paired differences, {first} minus {second}",
        "lines",
        [gap.n for gap in found.values()],
        [by_name[first].counts_of("test_error", by_name[second])],
    )
    title = f"Test error by class: {first} minus {second}"
    legend = [Legend("difference", "circle", "--c1")]
    sentences = [*_difference_sentences(classes), *_selection(classes)]
    if cut(found.values(), domain):
        sentences.append("Intervals that reach beyond ±100 points are cut there.")
    caption = " ".join(sentences)
    return Figure("classes", title, how, legend, [Panel("", "", spec)], caption)


def _difference_sentences(classes: Classes) -> list[str]:
    known = [(gap, i) for i, gap in enumerate(classes.differences) if gap]
    most, where = max(known, key=lambda pair: abs(pair[0].mean))
    told = sum(_leaves_out_zero(gap) for gap, _ in known)
    sentences = [
        f"The two conditions of the primary claim differ most in class {classes.names[where]}: "
        f"{with_bounds(most, 'points', 1, sign=True)}."
    ]
    if most.low is not None:
        sentences.append(
            f"{told} of {plural(len(known), 'interval')} {'leaves' if told == 1 else 'leave'} out "
            f"zero; if no class differed, about {0.05 * len(known):.2g} would by chance."
        )
    sentences.append(
        f"This is exploratory, with {plural(len(known), 'comparison')}, and gives no verdict."
    )
    return sentences


def _selection(classes: Classes) -> list[str]:
    shown, count = len(classes.shown()), len(classes.names)
    if shown == count:
        return []
    where = "the primary claim's two conditions differ" if classes.pair else "conditions differ"
    return [f"Shown are the {shown} of {count} classes in which {where} most."]


def _leaves_out_zero(gap: Interval) -> bool:
    return gap.low is not None and gap.high is not None and not gap.low <= 0.0 <= gap.high


def class_sentences(classes: Classes) -> list[str]:
    """Which classes are hardest and easiest, and how sure a figure of the table is."""
    ends = [classes.extremes(condition) for condition in classes.errors]
    easiest = _most_often(classes, [low for low, _ in ends])
    hardest = _most_often(classes, [high for _, high in ends])
    sentences = []
    if hardest and easiest:
        sentences.append(
            f"The highest mean error is most often that of {hardest}; the lowest that of {easiest}."
        )
    halves = [e.half for row in classes.errors.values() for e in row if e and e.half is not None]
    if halves:
        middle = number(statistics.median(halves), 1)
        sentences.append(f"Half the 95 % t interval of a figure is {middle} points in the median.")
    return [*sentences, *_selection(classes)]


def all_sentences(classes: Classes) -> list[str]:
    """What the table and the chart come to, for a text without them."""
    of_pair: list[str] = []
    if classes.pair:
        first, second = classes.pair
        of_pair = [f"Compared are {first} minus {second}.", *_difference_sentences(classes)]
    return [*class_sentences(classes), *of_pair]


def _most_often(classes: Classes, found: Sequence[Sequence[int]]) -> str:
    """`class cat (9 of 14 conditions)`: the classes that most conditions have in common."""
    counted = Counter(i for one in found for i in one)
    if not counted:
        return ""
    most = max(counted.values())
    names = [classes.names[i] for i, count in sorted(counted.items()) if count == most]
    noun = "class" if len(names) == 1 else "classes"
    return f"{noun} {listing(names, 3)} ({most} of {plural(len(found), 'condition')})"


def short_grid(classes: Classes) -> Grid:
    """The shown classes beside each other, one row for each condition."""
    shown = classes.shown()
    columns = [Column("condition", number=False), *(Column(classes.names[i]) for i in shown)]
    greatest = _greatest(classes)
    rows = []
    for condition in classes.errors:
        cells = [_cell(classes, condition, i, greatest) for i in shown]
        rows.append([Cell(condition), *cells])
    return Grid(columns, rows)


def long_grid(classes: Classes) -> Grid | None:
    """All classes below each other, one column for each condition; None where `short_grid` has
    them all, or they are too many for a page."""
    count = len(classes.names)
    if len(classes.shown()) == count or count * len(classes.errors) > _MOST_CELLS:
        return None
    greatest = _greatest(classes)
    rows = [
        [Cell(name), *(_cell(classes, condition, i, greatest) for condition in classes.errors)]
        for i, name in enumerate(classes.names)
    ]
    return Grid([Column("class", number=False), *map(Column, classes.errors)], rows)


def _greatest(classes: Classes) -> float:
    means = [e.mean for row in classes.errors.values() for e in row if e]
    return max(means, default=0.0) or 1.0


def _cell(classes: Classes, condition: str, i: int, greatest: float) -> Cell:
    found = classes.errors[condition][i]
    if found is None:
        return Cell(NONE)
    lowest, highest = classes.extremes(condition)
    mark = _LOWEST if i in lowest else _HIGHEST if i in highest else ""
    return Cell(f"{mark}{number(found.mean, 1)}", heat=found.mean / greatest)


def class_rows(classes: Classes) -> list[dict[str, Any]]:
    """One row for each condition and class, then one for each class's difference of the pair."""
    rows = [
        _csv_row(classes, condition, "", i, found)
        for condition, row in classes.errors.items()
        for i, found in enumerate(row)
    ]
    first, second = classes.pair or ("", "")
    return rows + [
        _csv_row(classes, first, second, i, found) for i, found in enumerate(classes.differences)
    ]


def _csv_row(
    classes: Classes, condition: str, minus: str, i: int, found: Interval | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "condition": condition,
        "minus": minus,
        "class": i,
        "name": classes.names[i],
    }
    figures = (found.mean, found.low, found.high, found.n) if found else (None, None, None, 0)
    return row | dict(zip(("test_error", "low", "high", "replicates"), figures, strict=True))
