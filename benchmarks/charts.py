"""The plots of docs/speed.md, as SVG on a light background."""

from __future__ import annotations

from typing import Any

import altair as alt
import vl_convert
from measure import Evidence

INK, MUTED, LINE, PAPER = "#1f2328", "#59636e", "#d9dee3", "#ffffff"
SIDES = {"the peers' way": "#b35900", "ours": "#1f6feb"}
PARTS = {
    "bare convolutions": "#1f6feb", "convolutions, above that": "#8fb8f6", "BatchNorm": "#b35900",
    "activation": "#e0a15e", "shortcuts": "#57807a", "casts to bf16": "#8a63a8",
    "Python and dispatch": "#8b949e", "the rest": "#d0d7de",
}  # fmt: skip


def growth(found: Evidence, figure: str) -> str:
    """One panel for each thing that grows; `figure` is seconds, or MiB of memory."""
    titles = {"seconds": "core-seconds", "MiB": "MiB at most"}
    panels = []
    for what, row in found["rows"].items():
        values = [
            {what: point[what], "side": name, figure: value}
            for point in row
            for name, value in zip(SIDES, _both(point, figure), strict=True)
        ]
        base = alt.Chart(alt.Data(values=values), width=150, height=130).encode(
            x=alt.X(f"{what}:Q", title=what, scale=_growing(what),
                    axis=alt.Axis(values=[point[what] for point in row], format=",d")),
            y=alt.Y(f"{figure}:Q", title=titles[figure] if not panels else None),
            color=alt.Color("side:N", scale=_scale(SIDES), title=None),
        )  # fmt: skip
        panels.append(base.mark_line(strokeWidth=2) + base.mark_point(filled=True, size=45))
    return _svg(alt.hconcat(*panels))


def profile(found: Evidence) -> str:
    """The parts of each student's step as shares of a whole, one bar for each."""
    order = list(PARTS)
    values = [
        {"step": f"{row['student']}, {row['precision']}", "part": part, "share": share,
         "order": order.index(part)}
        for row in found["steps"]
        for part, share in shares(row).items()
    ]  # fmt: skip
    chart = alt.Chart(alt.Data(values=values), width=620, height=alt.Step(34)).mark_bar(size=22)
    return _svg(
        chart.encode(
            x=alt.X("share:Q", title="share of the step", axis=alt.Axis(format="%"),
                    scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("step:N", title=None, sort=None),
            color=alt.Color("part:N", scale=_scale(PARTS), title=None),
            order="order:Q",
        )
    )  # fmt: skip


def shares(row: Evidence) -> dict[str, float]:
    """The share of the profiled step that each of PARTS has; together 1."""
    whole = sum(row["parts"].values())
    parts = {name: seconds / whole for name, seconds in row["parts"].items()}
    convolutions = parts.pop("convolutions")
    bare = min(row["ceiling"]["seconds"] / whole, convolutions)
    found: dict[str, float] = {
        "bare convolutions": bare,
        "convolutions, above that": convolutions - bare,
    }
    found |= {name: parts.pop(name) for name in PARTS if name in parts}
    return found | {"the rest": sum(parts.values(), 0.0)}


def _both(point: Evidence, figure: str) -> tuple[float, float]:
    if figure == "MiB":
        return point["memory"]["peers"]["mib_most"], point["memory"]["ours"]["mib_most"]
    return point["middle"]["peers"]["median"], point["middle"]["ours"]["median"]


def _growing(what: str) -> alt.Scale:
    """Linear, so that what grows in proportion is a straight line; but classes grow too far."""
    return alt.Scale(type="log" if what == "classes" else "linear", nice=False)


def _scale(colours: dict[str, str]) -> alt.Scale:
    return alt.Scale(domain=list(colours), range=list(colours.values()))


def _svg(chart: Any) -> str:
    axis = {"labelColor": MUTED, "titleColor": INK, "gridColor": LINE, "domainColor": LINE,
            "tickColor": LINE, "titleFontWeight": 400}  # fmt: skip
    legend = {"orient": "top", "labelColor": INK, "columns": 4}
    specification = chart.configure(
        background=PAPER, font="sans-serif", axis=axis, legend=legend, view={"stroke": None}
    ).to_dict()
    return vl_convert.vegalite_to_svg(specification)
