"""The chart of mimicry: how far students stay from their teacher, in two parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tutelage.reporting import charts
from tutelage.reporting.error_figures import taught
from tutelage.reporting.figure import Figure, Legend, Panel, numbers, reading
from tutelage.reporting.summary import Condition, Interval, Summary
from tutelage.reporting.words import number, with_bounds

Gap = tuple[Condition, Interval, Interval]
_PARTS = {
    "solid": ("shape: what no factor repairs", "--c1"),
    "hollow": ("scale: what one factor repairs", "--c2"),
}
_SIDES = {"train": "Training images", "test": "Test images"}
_DRAWN, _ALSO = 4, 1  # temperatures: of the chart, and of the sentence beside it


def mimicry(summary: Summary) -> Figure | None:
    """How far the students of every teacher stay from it, on training and on test images."""
    gaps = {side: _gaps(summary, side, _DRAWN) for side in _SIDES}
    if not gaps["train"]:
        return None
    every = [gap for side in gaps.values() for gap in side]
    longest = max(max(whole.mean, shape.high or 0.0) for _, shape, whole in every)
    title = f"KL at temperature {_DRAWN} (nats)"
    panels = []
    for side, found in gaps.items():
        if found:
            rows, ends = _gap_rows(found, _places(longest))
            spec = charts.stacked_rows(rows, ends, title=title, most=1.04 * longest or 1.0)
            panels.append(Panel(_SIDES[side], "", spec))
    shown = gaps["train"]
    how = reading(
        f"Bars are means at temperature {_DRAWN}, their values shape + scale",
        "thin lines (of the shape part)",
        [shape.n for _, shape, _ in shown],
        [condition.counts_of(_metric("train", "kl_shape", _DRAWN)) for condition, _, _ in shown],
    )
    sentences = [f"On training images the shape part {_gap_sentence(shown)}."]
    if also := _gaps(summary, "train", _ALSO):
        sentences.append(f"At temperature {_ALSO}, which is not drawn, it {_gap_sentence(also)}.")
    return Figure(
        "mimicry",
        f"Mimicry gap at temperature {_DRAWN}: how far students stay from their teacher",
        how,
        [Legend(text, part, colour) for part, (text, colour) in _PARTS.items()],
        panels,
        " ".join(sentences),
    )


def _metric(side: str, part: str, temperature: int) -> str:
    return f"{side}_{part}_t{temperature}"


def _gaps(summary: Summary, side: str, temperature: int) -> list[Gap]:
    """The conditions with the shape part of their divergence, and the whole of it."""
    found = []
    for condition in taught(summary):
        shape, whole = (
            condition.interval(_metric(side, part, temperature)) for part in ("kl_shape", "kl")
        )
        if shape and whole:
            found.append((condition, shape, whole))
    return found


def _places(value: float) -> int:
    """The decimals that show three figures of a value; at least 3, at most 6."""
    return min(6, max(3, 2 - math.floor(math.log10(value)))) if value > 0 else 3


def _gap_rows(gaps: Sequence[Gap], places: int) -> tuple[list[charts.Spec], list[charts.Spec]]:
    rows, ends = [], []
    for condition, shape, whole in gaps:
        label = charts.label(condition.name)
        parts = {"solid": (0.0, shape.mean), "hollow": (shape.mean, whole.mean)}
        for part, (start, end) in parts.items():
            rows.append(
                {
                    "label": label,
                    "name": condition.name,
                    "part": part,
                    "start": round(start, 7),
                    "end": round(end, 7),
                    "value": number(end - start, places),
                }
            )
        ends.append(
            {
                "label": label,
                "value": " + ".join(number(end - start, places) for start, end in parts.values()),
                **numbers(shape, 7),
            }
        )
    return rows, ends


def _gap_sentence(gaps: Sequence[Gap]) -> str:
    shapes = [(shape, condition) for condition, shape, _ in gaps]
    low, least = min(shapes, key=lambda pair: pair[0].mean)
    high, most = max(shapes, key=lambda pair: pair[0].mean)
    places = _places(high.mean)
    if len(gaps) == 1:
        return f"is {with_bounds(low, 'nats', places)} for {least.name}"
    return (
        f"runs from {with_bounds(low, 'nats', places)} for {least.name} to "
        f"{with_bounds(high, 'nats', places)} for {most.name}"
    )
