"""How every chart looks: colours, shapes and type, as variables of the page's style sheet.

So one specification serves light, dark and paper.
"""

from __future__ import annotations

from typing import Any

COLOURS = 7
"""The series colours --c1 to --c7 of page.css."""

SHAPES = {
    "circle": "M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12z",
    "square": "M3 3h10v10h-10z",
    "diamond": "M8 1l5.5 7l-5.5 7l-5.5-7z",
    "triangle-up": "M8 2l6.5 11.5h-13z",
    "cross": "M6 2h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    "triangle-down": "M8 14l6.5-11.5h-13z",
}
"""Marks of series, by Vega's names, with their outlines in a legend key of 16 x 16. Series i has
colour i modulo 7 and shape i modulo 6, so the first 42 differ, and neighbours differ in both."""

Theme = dict[str, Any]

# `style` names are used by the marks in charts.py.
THEME: Theme = {
    "background": "transparent",
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
    "view": {"stroke": None},
    "range": {"category": [f"var(--c{i + 1})" for i in range(COLOURS)], "symbol": list(SHAPES)},
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
        "replicate": {"opacity": 0.6, "size": 34, "stroke": None},
        "mean": {"size": 110, "opacity": 1, "stroke": "var(--card)", "strokeWidth": 1},
        "value": {"color": "var(--text)", "fontSize": 12, "fontWeight": 600},
        "halo": {"color": "var(--card)", "fontSize": 12, "fontWeight": 600},
        "solid": {"color": "var(--c1)", "opacity": 1},
        "hollow": {"color": "var(--card)", "stroke": "var(--c2)", "strokeWidth": 2, "opacity": 1},
        "zero": {"color": "var(--muted)", "strokeWidth": 1},
        "decay": {"color": "var(--muted)", "strokeWidth": 1, "strokeDash": [3, 3]},
        "band": {"color": "var(--c1)", "fillOpacity": 0.22},
        "curve": {"color": "var(--c1)", "strokeWidth": 2},
        "whisker": {"color": "var(--text)", "strokeWidth": 1.5, "opacity": 0.8},
    },
}


def series_look(number: int) -> tuple[str, str]:
    """The shape and the colour (a variable of page.css) of series `number`, counted from 0."""
    return [*SHAPES][number % len(SHAPES)], f"--c{number % COLOURS + 1}"
