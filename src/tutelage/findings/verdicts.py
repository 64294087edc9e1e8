"""One small function for each kind of claim: an interval in, a verdict out.

Borders are strict everywhere: an end that lies exactly on zero or on a margin decides nothing.
"""

from __future__ import annotations

from typing import Literal

from tutelage.findings.finding import Verdict

Direction = Literal["less", "greater", "decreasing", "increasing"]

LEVELS = {"difference": 0.95, "non_inferiority": 0.95, "equivalence": 0.90, "trend": 0.95}


def difference(low: float, high: float, direction: Direction, margin: float) -> Verdict:
    """Whether a - b lies in `direction`; [low, high] is its 95 % interval.

    Refuted: the interval excludes every effect of `margin` or more in the direction (so an effect
    that is sure but smaller than the margin is refuted). Otherwise supported: it lies wholly on
    the direction's side of zero. Otherwise undecided.
    """
    if direction in ("less", "decreasing"):
        low, high = -high, -low
    if high < margin:
        return "refuted"
    return "supported" if low > 0.0 else "undecided"


def trend(low: float, high: float, direction: Direction, margin: float) -> Verdict:
    """Whether a slope is increasing or decreasing: `difference`, with the slope as the effect."""
    return difference(low, high, direction, margin)


def non_inferiority(
    low: float, high: float, margin: float, *, more_is_worse: bool = True
) -> Verdict:
    """Whether a is worse than b by less than `margin`; [low, high] is the 95 % interval of a - b.

    Supported: every effect in the interval is worse by less than the margin (or not worse).
    Refuted: every one is worse by more. Otherwise undecided. `more_is_worse` is False for a
    metric of which more is better, such as agreement.
    """
    if not more_is_worse:
        low, high = -high, -low
    if high < margin:
        return "supported"
    return "refuted" if low > margin else "undecided"


def equivalence(low: float, high: float, margin: float) -> Verdict:
    """Whether |a - b| < `margin`; [low, high] is the 90 % interval of a - b.

    Supported: the interval lies wholly within +- margin, which is two one-sided t tests at 5 %
    (TOST, Schuirmann 1987). Refuted: it lies wholly outside. Otherwise undecided.
    """
    if -margin < low and high < margin:
        return "supported"
    return "refuted" if low > margin or high < -margin else "undecided"
