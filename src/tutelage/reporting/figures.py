"""What each chart of a report shows: which conditions, with sentences drawn from the data.

A figure without data is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tutelage.reporting import charts
from tutelage.reporting.error_figures import by_stop, by_teacher
from tutelage.reporting.figure import (
    Figure,
    Legend,
    Panel,
    against_scratch,
    cut,
    extent,
    numbers,
    padded,
    reading,
)
from tutelage.reporting.mimicry_figure import mimicry
from tutelage.reporting.summary import Condition, Interval, Summary
from tutelage.reporting.words import plural, plus_minus

Curve = tuple[Condition, list[tuple[int, Interval]]]
_MOST_POINTS = 120
_SETTLED = 0.1  # share of the schedule after which a curve's mean lies within the axis


def figures(summary: Summary) -> list[Figure]:
    """The figures that the study has data for, in the page's order."""
    found = [
        *by_teacher(summary),
        *by_stop(summary),
        mimicry(summary),
        _over_epochs(summary),
    ]
    return [figure for figure in found if figure]


def _over_epochs(summary: Summary) -> Figure | None:
    curves: list[Curve] = []
    for condition in summary.conditions:
        control = summary.scratch_for(condition)
        if control and control.row["epochs"] == condition.row["epochs"]:
            points = condition.curve_minus(control, "val_error")
            if points:
                curves.append((condition, points))
    if not curves:
        return None
    domain = padded(
        [0.0, *(value for one in curves for value in _settled(*one))], 0.06, (-100.0, 100.0)
    )
    panels = [
        Panel(
            condition.name,
            f"{plus_minus(points[-1][1], sign=True)} points at epoch {points[-1][0]}",
            charts.curve(_thinned(points), condition.row.get("decays") or [], domain=domain),
        )
        for condition, points in curves
    ]
    legend = [Legend("mean difference", "line", "--c1")]
    if any(points[-1][1].low is not None for _, points in curves):
        legend.append(Legend("95 % interval", "band", "--c1"))
    if any(condition.row.get("decays") for condition, _ in curves):
        legend.append(Legend("learning rate decays", "dashed", "--muted"))
    how = reading(
        "Lines are means of paired differences, below zero where distillation is ahead",
        "bands",
        [points[-1][1].n for _, points in curves],
        [c.counts_of("val_error", summary.scratch_for(c)) for c, _ in curves],
    )
    title = "Distilled minus scratch: validation error over epochs"
    caption = _end_sentence(curves)
    if any(cut((interval for _, interval in points), domain) for _, points in curves):
        caption += " Where a line or band leaves the chart it is cut at its edge."
    return Figure("epochs", title, how, legend, panels, caption, small=len(panels) > 1)


def _settled(condition: Condition, points: Sequence[tuple[int, Interval]]) -> list[float]:
    """What the axis has to show: the mean once the first epochs are over, and the intervals once
    the learning rate has fallen; the last of them always."""
    decays = condition.row.get("decays") or [0]
    means = [i.mean for epoch, i in points if epoch > _SETTLED * condition.row["epochs"]]
    return [
        *means,
        *extent(i for epoch, i in points if epoch > decays[0]),
        *extent([points[-1][1]]),
    ]


def _end_sentence(curves: Sequence[Curve]) -> str:
    ends = [(condition.name, points[-1][1]) for condition, points in curves]
    lower, of = sum(end.mean < 0 for _, end in ends), plural(len(ends), "condition")
    text = f"At the last epoch the mean difference is below zero for {lower} of {of}."
    return f"{text} {against_scratch(ends)}".rstrip()


def _thinned(points: Sequence[tuple[int, Interval]]) -> list[charts.Spec]:
    """At most about _MOST_POINTS of a curve, evenly spaced, its last one always."""
    every = math.ceil(len(points) / _MOST_POINTS)
    kept = [*points[:-1:every], points[-1]]
    return [{"epoch": epoch, **numbers(interval, 3)} for epoch, interval in kept]
