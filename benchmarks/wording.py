"""Figures in words, and Markdown of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

Figures = Mapping[str, float]


def paragraph(text: str) -> str:
    """A paragraph of Markdown in lines of at most 100 characters."""
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False) + "\n\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines) + "\n"


def span(figures: Figures, scale: float, places: int) -> str:
    """A median with its quartiles, such as `12.1 (11.8 to 12.9)`."""
    median, low, high = (f"{scale * figures[k]:.{places}f}" for k in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def times(figures: Figures) -> str:
    """A ratio with its quartiles, such as `6.26x (6.1 to 6.4)`."""
    return f"{figures['value']:.2f}x ({figures['low']:.2f} to {figures['high']:.2f})"


def against(value: float, goal: float, stretch: float | None = None) -> str:
    """A goal that is met from above: what it is, and whether it is met."""
    asked = f"{goal:g}x" + (f" ({stretch:g}x)" if stretch else "")
    if stretch and value >= stretch:
        return f"{asked}: stretch met"
    return f"{asked}: {'met' if value >= goal else 'not met'}"


def below(value: float, goal: float, form: str) -> str:
    """A goal that is met from below."""
    return f"under {form.format(goal)}: {'met' if value < goal else 'not met'}"


def percent(share: float, places: int = 0) -> str:
    """A share such as `72 %`."""
    return f"{100 * share:.{places}f} %"
