"""The kinds of chart as Vega-Lite specifications. They know rows of numbers, not studies.

Every chart is as wide as its container, and looks as theme.py says.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

Spec = dict[str, Any]
_LABEL_WIDTH = 22
_LINE_HEIGHT = 15
_ZERO = [{"mean": 0}]
# Channels are objects and no shorthands, which altair would take most of the time to read.
_HIGH = alt.X2("high:Q")


def label(*lines: str) -> str:
    """A row's label: each line is wrapped, so that no name is cut off on a phone."""
    wrapped = (part for line in lines for part in textwrap.wrap(line, _LABEL_WIDTH) or [""])
    return "\n".join(wrapped)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Labelled rows: their axis, the chart's height, and by how many pixels marks and labels lie
    above the middle of a row, so that the first line of every label stands beside its marks."""

    y: alt.Y
    height: int
    up: float


def _rows(labels: Sequence[str], least: int) -> _Rows:
    """Rows of at least `least` pixels, higher where a label has many lines."""
    lines = max((text.count("\n") + 1 for text in labels), default=1)
    step = max(least, 18 + lines * _LINE_HEIGHT)
    up = (step - least) / 2
    axis = alt.Axis(
        labelExpr="split(datum.value, '\\n')", title=None, grid=False, offset=4, labelOffset=-up
    )
    scale = alt.Scale(domain=list(labels), paddingInner=0, paddingOuter=0)
    return _Rows(alt.Y("label:N", axis=axis, scale=scale), step * len(labels), up)


def _of(name: str) -> alt.Chart:
    """A layer of the rows called `name`; `_spec` gives them, once for all layers."""
    return alt.Chart(alt.NamedData(name=name))


def _written(x: alt.X, rows: _Rows) -> list[alt.Chart]:
    """The `value` of "rows" above their mark, twice: first as a halo, so that no line behind it
    crosses its digits."""
    text = _of("rows").encode(text=alt.Text("value:N"), x=x, y=rows.y)
    return [
        text.mark_text(style="halo", dy=-14 - rows.up, stroke="var(--card)", strokeWidth=4),
        text.mark_text(style="value", dy=-14 - rows.up),
    ]


def dot_rows(
    rows: Sequence[Spec],
    dots: Sequence[Spec],
    *,
    title: str,
    domain: tuple[float, float],
    groups: Sequence[str],
    reference: Spec | None = None,
) -> Spec:
    """One row for each condition: its replicates as dots, above them mean and interval.

    `rows` have label, name, group, mean, low, high (None without an interval), value (text) and
    counts; `dots` have label, name, group, replicate and mean; `reference` has mean, low and high.
    A group has a colour and a shape of its own.
    """
    placed = _rows([row["label"] for row in rows], 54)
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    x, x_low = (alt.X(f"{end}:Q", title=title, scale=scale) for end in ("mean", "low"))
    series = alt.Scale(domain=list(groups))
    colour = alt.Color("group:N", legend=None, scale=series)
    shape = alt.Shape("group:N", legend=None, scale=series)
    tooltip = [
        alt.Tooltip("name:N", title="condition"),
        alt.Tooltip("value:N", title=title),
        alt.Tooltip("counts:N", title="replicates × students"),
    ]
    seen = [alt.Tooltip(field) for field in ("name:N", "replicate:N", "mean:Q")]
    layers: list[alt.Chart] = []
    if reference:
        band = _of("reference")
        if reference["low"] is not None:
            layers.append(band.mark_rect(style="reference", clip=True).encode(x=x_low, x2=_HIGH))
        layers.append(band.mark_rule(style="reference-line").encode(x=x))
    base = _of("rows").encode(y=placed.y, color=colour)
    replicate = _of("dots").mark_circle(style="replicate", yOffset=11 - placed.up)
    layers += [
        replicate.encode(x=x, y=placed.y, color=colour, tooltip=seen),
        base.mark_rule(style="interval", clip=True, yOffset=-placed.up).encode(x=x_low, x2=_HIGH),
        base.mark_point(style="mean", filled=True, yOffset=-placed.up).encode(
            x=x, shape=shape, tooltip=tooltip
        ),
        *_written(x, placed),
    ]
    return _spec(
        layers, placed.height, rows=rows, dots=dots, reference=[reference] if reference else []
    )


def difference_rows(rows: Sequence[Spec], *, title: str, domain: tuple[float, float]) -> Spec:
    """One row for each difference: its mean and interval beside the line of zero.

    `rows` have label, name, mean, low, high (None without an interval) and value (text).
    """
    placed = _rows([row["label"] for row in rows], 44)
    scale = alt.Scale(domain=list(domain), nice=False)
    x, x_low = (alt.X(f"{end}:Q", title=title, scale=scale) for end in ("mean", "low"))
    base = _of("rows").encode(y=placed.y)
    look = {"color": "var(--c1)", "yOffset": -placed.up}
    tooltip = [alt.Tooltip("name:N", title="class"), alt.Tooltip("value:N", title="points")]
    layers = [
        _of("zero").mark_rule(style="zero").encode(x=x),
        base.mark_rule(style="interval", clip=True, **look).encode(x=x_low, x2=_HIGH),
        base.mark_circle(style="mean", **look).encode(x=x, tooltip=tooltip),
        *_written(x, placed),
    ]
    return _spec(layers, placed.height, rows=rows, zero=_ZERO)


def stacked_rows(rows: Sequence[Spec], ends: Sequence[Spec], *, title: str, most: float) -> Spec:
    """One bar for each condition, a solid part and a hollow one, and its value in words above it.

    `rows` have label, name, part (`solid` or `hollow`), start, end and value (text); `ends` have
    label, value (text), and low and high of the solid part's interval (None without one).
    """
    placed = _rows([*dict.fromkeys(row["label"] for row in rows)], 46)
    x = alt.X("start:Q", title=title, scale=alt.Scale(domain=[0, most], nice=False))
    tooltip = [
        alt.Tooltip("name:N", title="condition"),
        alt.Tooltip("part:N"),
        alt.Tooltip("value:N", title="nats"),
    ]
    bars = [
        _of(part)
        .mark_bar(height=14, style=part, yOffset=7 - placed.up)
        .encode(x=x, x2=alt.X2("end:Q"), y=placed.y, tooltip=tooltip)
        for part in ("solid", "hollow")
    ]
    last = _of("ends").encode(y=placed.y)
    layers = [
        *bars,
        last.mark_rule(style="whisker", clip=True, yOffset=7 - placed.up).encode(
            x=alt.X("low:Q"), x2=_HIGH
        ),
        last.mark_text(style="value", align="left", dy=-10 - placed.up).encode(
            x=alt.XValue(2), text=alt.Text("value:N")
        ),
    ]
    both = {part: [row for row in rows if row["part"] == part] for part in ("solid", "hollow")}
    return _spec(layers, placed.height, ends=ends, **both)


def curve(
    points: Sequence[Spec], decays: Sequence[int], *, domain: tuple[float, float], height: int = 190
) -> Spec:
    """A mean over epochs with its interval band, the zero line and the learning rate's decays.

    `points` have epoch, mean, low and high; what lies outside `domain` is clipped.
    """
    base = _of("points")
    last = max(point["epoch"] for point in points)
    x = alt.X("epoch:Q", title="epoch", scale=alt.Scale(domain=[0, last], nice=False))
    y = alt.Y("mean:Q", title="points", scale=alt.Scale(domain=list(domain), nice=False))
    tooltip = [
        alt.Tooltip("epoch:Q"),
        *(alt.Tooltip(f"{field}:Q", format="+.2f") for field in ("mean", "low", "high")),
    ]
    layers = [_of("zero").mark_rule(style="zero").encode(y=alt.Y("mean:Q"))]
    if decays:
        layers.append(_of("decays").mark_rule(style="decay").encode(x=alt.X("decay:Q")))
    if points[0]["low"] is not None:
        layers.append(
            base.mark_area(style="band", clip=True).encode(
                x=x, y=alt.Y("low:Q"), y2=alt.Y2("high:Q")
            )
        )
    layers.append(base.mark_line(style="curve", clip=True).encode(x=x, y=y, tooltip=tooltip))
    marked = [{"decay": epoch} for epoch in decays]
    return _spec(layers, height, points=points, zero=_ZERO, decays=marked)


def _spec(layers: Sequence[alt.Chart], height: int, **data: Sequence[Spec]) -> Spec:
    """The specification, without altair's theme; its validation would take most of the time."""
    chart = alt.layer(*layers).properties(width="container", height=height)
    with alt.theme.enable("none"):
        found = chart.to_dict(validate=False)
    return found | {"datasets": {name: list(rows) for name, rows in data.items() if rows}}
