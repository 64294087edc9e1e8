"""What each chart of a report shows: which conditions, with a sentence drawn from the data.

A figure without data is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tutelage.reporting import charts
from tutelage.reporting.error_figures import by_stop, by_teacher, taught
from tutelage.reporting.figure import (
    Figure,
    Legend,
    Panel,
    counts,
    extent,
    interval_words,
    numbers,
    padded,
)
from tutelage.reporting.summary import Condition, Interval, Summary
from tutelage.reporting.words import listing, number, plural, plus_minus, with_bounds

Gap = tuple[Condition, Interval, Interval]
Curve = tuple[Condition, list[tuple[int, Interval]]]
_MOST_POINTS = 150
_SETTLED = 0.1  # share of the schedule after which a curve's mean lies within the axis


def figures(summary: Summary) -> list[Figure]:
    """The figures that the study has data for, in the page's order."""
    found = [
        *by_teacher(summary),
        *by_stop(summary),
        _mimicry(summary),
        _over_epochs(summary),
    ]
    return [figure for figure in found if figure]


# --- mimicry -------------------------------------------------------------------------------------

_PARTS = {"shape": "shape: what no factor repairs", "scale": "scale: what one factor repairs"}
_SIDES = {"train": "Training images", "test": "Test images"}
_ROOM = 1.65  # the axis over the longest bar, so that the values at the bars' ends fit


def _mimicry(summary: Summary) -> Figure | None:
    gaps = {side: [(c, *gap) for c in taught(summary) if (gap := _gap(c, side))] for side in _SIDES}
    if not gaps["train"]:
        return None
    most = _ROOM * max(whole.mean for side in gaps.values() for _, _, whole in side) or 1.0
    title = "KL at temperature 4 (nats)"
    panels = [
        Panel(_SIDES[side], "", charts.stacked_rows(*_gap_rows(found), title=title, most=most))
        for side, found in gaps.items()
        if found
    ]
    members = [condition for condition, _, _ in gaps["train"]]
    words = interval_words(members, "of the shape part ")
    return Figure(
        "mimicry",
        "Mimicry gap: how far students stay from their teacher",
        [Legend(text, "bar", f"--c{i + 1}") for i, text in enumerate(_PARTS.values())],
        panels,
        f"{_gap_sentence(gaps['train'])} Numbers are shape + scale. {words}",
    )


def _gap(condition: Condition, side: str) -> tuple[Interval, Interval] | None:
    """The shape part of the divergence, and the whole."""
    shape, whole = (condition.interval(f"{side}_{name}_t4") for name in ("kl_shape", "kl"))
    return (shape, whole) if shape and whole else None


def _gap_rows(gaps: Sequence[Gap]) -> tuple[list[charts.Spec], list[charts.Spec]]:
    rows, ends = [], []
    for condition, shape, whole in gaps:
        label = charts.label(condition.name)
        parts = {"shape": (0.0, shape.mean), "scale": (shape.mean, whole.mean)}
        for part, (start, end) in parts.items():
            rows.append(
                {
                    "label": label,
                    "name": condition.name,
                    "part": part,
                    "start": round(start, 5),
                    "end": round(end, 5),
                    "value": number(end - start, 3),
                }
            )
        ends.append(
            {
                "label": label,
                "value": " + ".join(number(end - start, 3) for start, end in parts.values()),
                "at": round(max(whole.mean, shape.high or 0.0), 5),
                **numbers(shape),
            }
        )
    return rows, ends


def _gap_sentence(gaps: Sequence[Gap]) -> str:
    shapes = [(shape, condition) for condition, shape, _ in gaps]
    low, least = min(shapes, key=lambda pair: pair[0].mean)
    high, most = max(shapes, key=lambda pair: pair[0].mean)
    text = "On training images the part of the gap that no single factor repairs"
    if least is most:
        return f"{text} is {with_bounds(low, 'nats', 3)} for {least.name}."
    return (
        f"{text} runs from {with_bounds(low, 'nats', 3)} for {least.name} to "
        f"{with_bounds(high, 'nats', 3)} for {most.name}."
    )


# --- distilled minus scratch ---------------------------------------------------------------------


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
    legend = [
        Legend("mean difference", "line", "--c1"),
        Legend("95 % interval", "band", "--c1"),
        Legend("learning rate decays", "dashed", "--muted"),
    ]
    members = [condition for condition, _ in curves]
    caption = f"{_end_sentence(curves)} Below zero distillation is ahead. {counts(members)}."
    title = "Distilled minus scratch: validation error over epochs"
    return Figure("epochs", title, legend, panels, caption, small=len(panels) > 1)


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
    if all(end.low is None for _, end in ends):
        ahead = [name for name, end in ends if end.mean < 0]
        return (
            f"At the last epoch {len(ahead)} of {plural(len(ends), 'condition')} have a lower "
            "validation error than scratch; one replicate gives no interval."
        )
    ahead = [name for name, end in ends if end.high is not None and end.high < 0]
    behind = [name for name, end in ends if end.low is not None and end.low > 0]
    parts = [
        f"{len(names)} {where} scratch ({listing(names)})"
        for names, where in ((ahead, "ahead of"), (behind, "behind"))
        if names
    ]
    open_ = len(ends) - len(ahead) - len(behind)
    if open_:
        parts.append(f"{open_} not told apart from it")
    subject = plural(len(ends), "condition")
    return f"At the last epoch, by 95 % intervals, of {subject}: {listing(parts)}."


def _thinned(points: Sequence[tuple[int, Interval]]) -> list[charts.Spec]:
    """At most about _MOST_POINTS of a curve, evenly spaced, its last one always."""
    every = math.ceil(len(points) / _MOST_POINTS)
    kept = [*points[:-1:every], points[-1]]
    return [{"epoch": epoch, **numbers(interval)} for epoch, interval in kept]
