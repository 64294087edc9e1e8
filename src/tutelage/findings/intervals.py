"""Student's t interval over replicate values, and how many replicates a margin needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit  # the t quantile; scipy.stats would take half a second to load


@dataclass(frozen=True)
class Estimate:
    """A mean over n replicates with its interval.

    `effect` is None for n = 0; `low`, `high` and the standard deviation `spread` for n < 2.
    `images` is the variance that the choice of test images adds to the mean, 0 where the interval
    is about these; `freedom` the degrees of freedom of both, None for those of the replicates.
    """

    n: int
    level: float
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    images: float = 0.0
    freedom: float | None = None

    def at(self, level: float) -> Estimate:
        """The same mean with its interval at another confidence level; none where nothing could be
        so sure."""
        if self.spread is None or self.effect is None:
            return replace(self, level=level)
        if level >= 1.0:
            return replace(self, level=level, low=None, high=None)
        of_replicates = self.spread / math.sqrt(self.n)
        n = self.n if self.freedom is None else self.freedom + 1.0
        half = float(t_quantile(level, n)) * math.hypot(of_replicates, math.sqrt(self.images))
        return replace(self, level=level, low=self.effect - half, high=self.effect + half)


def t_quantile(level: float, n: ArrayLike) -> np.ndarray:
    """The two-sided t quantile of a `level` interval over n values (n - 1 degrees of freedom)."""
    return stdtrit(np.asarray(n, dtype=np.float64) - 1.0, 0.5 + level / 2)


def t_interval(values: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, low and high end over the last axis of `values` [..., n], n >= 2.

    mean +- t(level, n - 1) * s / sqrt(n), with s the standard deviation of n - 1 denominator
    (Student 1908). Raises ValueError for n < 2.
    """
    values = np.asarray(values, dtype=np.float64)
    n = values.shape[-1]
    if n < 2:
        raise ValueError(f"an interval needs at least 2 values, not {n}")
    mean = values.mean(axis=-1)
    half = t_quantile(level, n) * values.std(axis=-1, ddof=1) / math.sqrt(n)
    return mean, mean - half, mean + half


def estimate(values: Sequence[float], level: float = 0.95) -> Estimate:
    """The mean of one value per replicate, with what interval there can be."""
    n = len(values)
    if n == 0:
        return Estimate(n, level)
    if n == 1:
        return Estimate(n, level, float(values[0]))
    spread = float(np.std(values, ddof=1))
    if level >= 1.0:
        return Estimate(n, level, float(np.mean(values)), spread=spread)
    mean, low, high = t_interval(values, level)
    return Estimate(n, level, float(mean), float(low), float(high), spread)


def replicates_needed(spread: float, margin: float, level: float = 0.95) -> int:
    """The least n >= 2 at which an interval's half-width is at most the margin.

    The half-width is t(level, n - 1) * spread / sqrt(n), with `spread` the standard deviation of
    the replicates' values. Raises ValueError unless spread is finite and >= 0, and margin > 0.
    """
    if not (0.0 <= spread < math.inf and margin > 0.0):
        raise ValueError(f"no number of replicates for spread {spread} and margin {margin}")
    return least(lambda n: float(t_quantile(level, n)) * spread / math.sqrt(n) <= margin)


def least(enough: Callable[[int], bool]) -> int:
    """The least n >= 2 that is enough, where every larger one is: bracketed, then halved."""
    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
