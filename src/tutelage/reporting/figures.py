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

_MOST_POINTS = 150
_SETTLED = 0.1  # share of the schedule after which a curve's values set the scale


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

_PARTS = {"shape": "shape: the rest", "scale": "scale: what one factor repairs"}


def _mimicry(summary: Summary) -> Figure | None:
    members = [
        condition
        for condition in taught(summary)
        if condition.interval("train_kl_shape_t4") and condition.interval("train_kl_scale_t4")
    ]
    if not members:
        return None
    sides = {"train": "Training images", "test": "Test images"}
    drawn = {side: _gap_rows(members, side) for side in sides}
    ends = [row["end"] for rows, _ in drawn.values() for row in rows]
    ends += [w["high"] for _, whiskers in drawn.values() for w in whiskers if w["high"] is not None]
    most = max(ends) * 1.04 or 1.0
    panels = [
        Panel(
            title,
            "",
            charts.stacked_rows(
                *drawn[side], title="KL divergence at temperature 4 (nats)", most=most
            ),
        )
        for side, title in sides.items()
        if drawn[side][0]
    ]
    legend = [Legend(text, "bar", f"--c{i + 1}") for i, text in enumerate(_PARTS.values())]
    return Figure(
        "mimicry",
        "Mimicry gap: how far students stay from their teacher",
        legend,
        panels,
        f"{_gap_sentence(members)} {interval_words(members)}",
    )


def _gap_rows(
    members: Sequence[Condition], side: str
) -> tuple[list[charts.Spec], list[charts.Spec]]:
    rows, whiskers = [], []
    for condition in members:
        shape = condition.interval(f"{side}_kl_shape_t4")
        whole = condition.interval(f"{side}_kl_t4")
        if not shape or not whole:
            continue
        label = charts.label(condition.name)
        ends = {"shape": (0.0, shape.mean), "scale": (shape.mean, whole.mean)}
        for part, (start, end) in ends.items():
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
        for part, interval in (("shape", shape), ("scale", whole)):
            whiskers.append({"label": label, "part": part, **numbers(interval)})
    return rows, whiskers


def _gap_sentence(members: Sequence[Condition]) -> str:
    shapes = [(i, c) for c in members if (i := c.interval("train_kl_shape_t4"))]
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
    curves: list[tuple[Condition, list[tuple[int, Interval]]]] = []
    for condition in summary.conditions:
        control = summary.scratch_for(condition)
        if control and control.row["epochs"] == condition.row["epochs"]:
            points = condition.curve_minus(control, "val_error")
            if points:
                curves.append((condition, points))
    if not curves:
        return None
    settled = [
        interval
        for condition, points in curves
        for epoch, interval in points
        if epoch > _SETTLED * condition.row["epochs"]
    ]
    domain = padded([0.0, *extent(settled or [points[-1][1] for _, points in curves])], 0.06)
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


def _end_sentence(curves: Sequence[tuple[Condition, list[tuple[int, Interval]]]]) -> str:
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
        f"{len(names)} {where} of scratch ({listing(names)})"
        for names, where in ((ahead, "ahead"), (behind, "behind"))
        if names
    ]
    open_ = len(ends) - len(ahead) - len(behind)
    if open_:
        parts.append(f"{open_} not told apart from it")
    return (
        f"At the last epoch the 95 % intervals put, of {plural(len(ends), 'condition')}, "
        f"{listing(parts)}."
    )


def _thinned(points: Sequence[tuple[int, Interval]]) -> list[charts.Spec]:
    """At most about _MOST_POINTS of a curve, evenly spaced, its last one always."""
    every = math.ceil(len(points) / _MOST_POINTS)
    kept = [*points[:-1:every], points[-1]]
    return [{"epoch": epoch, **numbers(interval)} for epoch, interval in kept]
