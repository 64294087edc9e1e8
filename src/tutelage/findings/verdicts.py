"""One small function for each kind of claim: an interval in, a verdict out.

Borders are strict everywhere: an end that lies exactly on zero or on a margin decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tutelage.findings.finding import Verdict

Direction = Literal["less", "greater", "decreasing", "increasing"]

# The chance of each false verdict of a claim that is judged alone: a difference has an interval of
# 95 %, of which one end is wrong in 2.5 %; an equivalence is two one-sided tests at 5 %; a best is
# a set that misses it in 5 %.
ERRORS = {
    "difference": 0.025,
    "non_inferiority": 0.025,
    "equivalence": 0.05,
    "trend": 0.025,
    "best": 0.05,
    "prediction": 0.025,
}


@dataclass(frozen=True)
class Nulls:
    """Which of a claim's two null hypotheses its interval excludes: what would make its support
    false, and what would make its refutation false."""

    supports: bool
    refutes: bool

    @property
    def verdict(self) -> Verdict:
        """Refuted goes before supported: an effect that is sure may be smaller than of interest."""
        if self.refutes:
            return "refuted"
        return "supported" if self.supports else "undecided"


def difference(low: float, high: float, direction: Direction, margin: float) -> Verdict:
    """Whether a - b lies in `direction`; [low, high] is its 95 % interval.

    Refuted: the interval excludes every effect of `margin` or more in the direction (so an effect
    that is sure but smaller than the margin is refuted). Otherwise supported: it lies wholly on
    the direction's side of zero. Otherwise undecided.
    """
    return difference_nulls(low, high, direction, margin).verdict


def difference_nulls(low: float, high: float, direction: Direction, margin: float) -> Nulls:
    """What `difference` rests on: no effect in the direction, and one of the margin or more."""
    if direction in ("less", "decreasing"):
        low, high = -high, -low
    return Nulls(low > 0.0, high < margin)


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
    return non_inferiority_nulls(low, high, margin, more_is_worse=more_is_worse).verdict


def non_inferiority_nulls(
    low: float, high: float, margin: float, *, more_is_worse: bool = True
) -> Nulls:
    """What `non_inferiority` rests on: worse by the margin or more, and by no more than that."""
    if not more_is_worse:
        low, high = -high, -low
    return Nulls(high < margin, low > margin)


def equivalence(
    low: float, high: float, margin: float, wide: tuple[float, float] | None = None
) -> Verdict:
    """Whether |a - b| < `margin`; [low, high] is the 90 % interval of a - b, `wide` the 95 % one.

    Supported: the 90 % interval lies wholly within +- margin, which is two one-sided t tests at
    5 % (TOST, Schuirmann 1987). Refuted: the 95 % interval lies wholly outside. Otherwise
    undecided. Outside has two sides, so with a margin that is small beside the interval the 90 %
    one would be wrong in 10 %; it is what is looked at where `wide` is not given.
    """
    return equivalence_nulls(low, high, margin, wide).verdict


def equivalence_nulls(
    low: float, high: float, margin: float, wide: tuple[float, float] | None = None
) -> Nulls:
    """What `equivalence` rests on: a difference of the margin or more, and one of less."""
    bottom, top = (low, high) if wide is None else wide
    return Nulls(-margin < low and high < margin, bottom > margin or top < -margin)
