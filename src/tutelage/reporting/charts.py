"""The three kinds of chart as Vega-Lite specifications. They know rows of numbers, not studies.

Every chart is as wide as its container. Its colours are variables of the page's style sheet, so
that one specification serves light, dark and paper.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import altair as alt

Spec = dict[str, Any]
PALETTE = 7
_LABEL_WIDTH = 22
_LINE_HEIGHT = 15

# `style` names are used by the marks below; the variables are defined in page.css.
THEME: Spec = {
    "background": "transparent",
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
    "view": {"stroke": None},
    "range": {"category": [f"var(--c{i + 1})" for i in range(PALETTE)]},
    "axis": {
        "labelColor": "var(--text)",
        "titleColor": "var(--muted)",
        "gridColor": "var(--line)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 400,
        "titlePadding": 10,
        "labelLimit": 0,
        "labelPadding": 8,
        "domain": False,
        "ticks": False,
    },
    "axisQuantitative": {"labelColor": "var(--muted)", "tickCount": 5, "labelFlush": False},
    "style": {
        # `color` and not `fill` or `stroke`, which would lose to a mark's default colour.
        "reference": {"color": "var(--reference)"},
        "reference-line": {"color": "var(--reference-line)", "strokeWidth": 1.5},
        "interval": {"strokeWidth": 2.5, "strokeCap": "round"},
        "replicate": {"opacity": 0.5, "size": 34, "stroke": None},
        "mean": {"size": 90, "opacity": 1, "stroke": "var(--card)", "strokeWidth": 1.5},
        "value": {"color": "var(--text)", "fontSize": 12, "fontWeight": 600},
        "halo": {"color": "var(--card)", "fontSize": 12, "fontWeight": 600},
        "end": {"color": "var(--text)", "fontSize": 11},
        "zero": {"color": "var(--muted)", "strokeWidth": 1},
        "decay": {"color": "var(--muted)", "strokeWidth": 1, "strokeDash": [3, 3]},
        "band": {"color": "var(--c1)", "fillOpacity": 0.22},
        "curve": {"color": "var(--c1)", "strokeWidth": 2},
        "whisker": {"color": "var(--text)", "strokeWidth": 1.5, "opacity": 0.8},
    },
}


def label(*lines: str) -> str:
    """A row's label: each line is wrapped, so that no name is cut off on a phone."""
    wrapped = (part for line in lines for part in textwrap.wrap(line, _LABEL_WIDTH) or [""])
    return "\n".join(wrapped)


def _rows(labels: Sequence[str], least: int) -> tuple[alt.Y, alt.Step]:
    axis = alt.Axis(labelExpr="split(datum.value, '\\n')", title=None, grid=False, offset=4)
    scale = alt.Scale(domain=list(labels), paddingInner=0, paddingOuter=0)
    lines = max((text.count("\n") + 1 for text in labels), default=1)
    return alt.Y("label:N", axis=axis, scale=scale), alt.Step(max(least, 18 + lines * _LINE_HEIGHT))


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

    `rows` have label, group, mean, low, high (None without an interval), value (text) and n;
    `dots` have label, group, replicate and mean; `reference` has mean, low and high.
    """
    y, step = _rows([row["label"] for row in rows], 54)
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    x, x_low = (alt.X(f"{end}:Q", title=title, scale=scale) for end in ("mean", "low"))
    colour = alt.Color("group:N", legend=None, scale=alt.Scale(domain=list(groups)))
    base = alt.Chart(alt.Data(values=list(rows))).encode(y=y, color=colour)
    tooltip = [
        alt.Tooltip("name:N", title="condition"),
        alt.Tooltip("value:N", title=title),
        alt.Tooltip("counts:N", title="replicates × students"),
    ]
    words = alt.Chart(alt.Data(values=list(rows))).encode(text="value:N")
    layers: list[alt.Chart] = []
    if reference:
        band = alt.Chart(alt.Data(values=[reference]))
        if reference["low"] is not None:
            layers.append(band.mark_rect(style="reference", clip=True).encode(x=x_low, x2="high:Q"))
        layers.append(band.mark_rule(style="reference-line").encode(x=x))
    replicate = alt.Chart(alt.Data(values=list(dots))).mark_circle(style="replicate", yOffset=11)
    layers += [
        replicate.encode(x=x, y=y, color=colour, tooltip=["name:N", "replicate:N", "mean:Q"]),
        base.mark_rule(style="interval", clip=True).encode(x=x_low, x2="high:Q"),
        base.mark_circle(style="mean").encode(x=x, tooltip=tooltip),
        # The same text twice: first as a halo, so that a line behind it does not cross its digits.
        words.mark_text(style="halo", dy=-14, stroke="var(--card)", strokeWidth=4).encode(x=x, y=y),
        words.mark_text(style="value", dy=-14).encode(x=x, y=y),
    ]
    return _spec(alt.layer(*layers).properties(width="container", height=step))


def stacked_rows(rows: Sequence[Spec], ends: Sequence[Spec], *, title: str, most: float) -> Spec:
    """One bar for each condition, in parts from the left, and its value in words at its end.

    `rows` have label, part, start and end; `ends` have label, value (text) and at (where it
    stands), and low and high of the first part's interval (None without one).
    """
    y, step = _rows([*dict.fromkeys(row["label"] for row in rows)], 40)
    scale = alt.Scale(domain=[0, most], nice=False)
    parts = list(dict.fromkeys(row["part"] for row in rows))
    tooltip = [
        alt.Tooltip("name:N", title="condition"),
        "part:N",
        alt.Tooltip("value:N", title="nats"),
    ]
    bars = (
        alt.Chart(alt.Data(values=list(rows)))
        .mark_bar(height=16)
        .encode(
            x=alt.X("start:Q", title=title, scale=scale),
            x2="end:Q",
            y=y,
            color=alt.Color("part:N", legend=None, scale=alt.Scale(domain=parts)),
            tooltip=tooltip,
        )
    )
    last = alt.Chart(alt.Data(values=list(ends))).encode(y=y)
    layers = [
        bars,
        last.mark_rule(style="whisker", clip=True).encode(x="low:Q", x2="high:Q"),
        last.mark_text(style="end", align="left", dx=6).encode(
            x=alt.X("at:Q", scale=scale), text="value:N"
        ),
    ]
    return _spec(alt.layer(*layers).properties(width="container", height=step))


def curve(
    points: Sequence[Spec], decays: Sequence[int], *, domain: tuple[float, float], height: int = 190
) -> Spec:
    """A mean over epochs with its interval band, the zero line and the learning rate's decays.

    `points` have epoch, mean, low and high; what lies outside `domain` is clipped.
    """
    base = alt.Chart(alt.Data(values=list(points)))
    last = max(point["epoch"] for point in points)
    x = alt.X("epoch:Q", title="epoch", scale=alt.Scale(domain=[0, last], nice=False))
    y = alt.Y("mean:Q", title="points", scale=alt.Scale(domain=list(domain), nice=False))
    tooltip = [
        "epoch:Q",
        *(alt.Tooltip(f"{field}:Q", format="+.2f") for field in ("mean", "low", "high")),
    ]
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(style="zero").encode(y="zero:Q")
    layers = [zero]
    if decays:
        marks = alt.Chart(alt.Data(values=[{"decay": epoch} for epoch in decays]))
        layers.append(marks.mark_rule(style="decay").encode(x="decay:Q"))
    if points[0]["low"] is not None:
        layers.append(base.mark_area(style="band", clip=True).encode(x=x, y="low:Q", y2="high:Q"))
    layers.append(base.mark_line(style="curve", clip=True).encode(x=x, y=y, tooltip=tooltip))
    return _spec(alt.layer(*layers).properties(width="container", height=height))


def _spec(chart: alt.LayerChart | alt.FacetChart) -> Spec:
    """The specification, without altair's theme; its validation would take most of the time."""
    with alt.theme.enable("none"):
        return chart.to_dict(validate=False)
