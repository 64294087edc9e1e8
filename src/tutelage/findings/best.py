"""Which condition of a family is the best: a confidence set, and whether it lies inside the order.

Multiple comparisons with the best (Hsu 1981, Ann. Statist. 9; Edwards & Hsu 1983, JASA 78), on
paired replicate means: condition i leaves the set where some other condition is better than i
beyond chance, by a one-sided paired t test. The truly best one is compared with k - 1 others, each
of which it equals or beats, so with error/(k - 1) for each comparison (Bonferroni) it is left out
with a chance of at most `error`, whatever the conditions' variances and correlations. Hsu's own
critical values (Dunnett's) are a little smaller, but ask for equal variances and correlations,
which pairing does not give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tutelage.findings.intervals import Estimate, t_quantile
from tutelage.findings.verdicts import Nulls


@dataclass(frozen=True)
class Ranking(Estimate):
    """Conditions in an order, with one value for each replicate: `rows` [n][k], less is better.

    `places` are the conditions' places in the order, equal where the order does not tell them
    apart. `effect` is the best mean inside minus the best mean of the ends, as the metric counts;
    it is None without rows, or without anything inside, and has no interval.
    """

    names: tuple[str, ...] = ()
    places: tuple[float, ...] = ()
    rows: tuple[tuple[float, ...], ...] = ()

    @property
    def means(self) -> np.ndarray:
        """The mean of each condition over replicates."""
        return np.mean(self.rows, axis=0)

    @property
    def is_end(self) -> np.ndarray:
        """Which conditions are at an end of the order."""
        places = np.asarray(self.places)
        return (places == places.min()) | (places == places.max())

    def excess(self, error: float) -> np.ndarray:
        """By how much each condition is worse than some other one, at the least: its largest lower
        bound. It is not among the best where that is above zero. -inf with one replicate."""
        if self.n < 2:
            return np.full(len(self.names), -math.inf)
        return excess(np.asarray(self.rows), error)

    def among(self, error: float) -> list[str]:
        """The conditions of the confidence set, in their order."""
        kept = self.excess(error) <= 0.0
        return [name for name, keep in zip(self.names, kept, strict=True) if keep]

    def nulls(self, error: float) -> Nulls:
        """Whether an optimum inside the order is supported, and refuted.

        Supported: the set of level 1 - error holds no end, so the best lies inside. Refuted: it
        holds nothing but ends. Otherwise undecided. The truly best condition is left out with a
        chance of `error` at most, so each is false as rarely.
        """
        gone, end = self.excess(error) > 0.0, self.is_end
        if self.n < 2 or end.all():
            return Nulls(False, False)
        return Nulls(bool(gone[end].all()), bool(gone[~end].all()))


def excess(rows: np.ndarray, error: float) -> np.ndarray:
    """`Ranking.excess` of rows [..., n, k], n >= 2, k >= 2; gives [..., k]."""
    n, k = rows.shape[-2:]
    differences = rows[..., :, None] - rows[..., None, :]  # [..., n, i, j]: i minus j
    mean = differences.mean(axis=-3)
    half = float(t_quantile(1.0 - 2.0 * error / (k - 1), n))
    low = mean - half * differences.std(axis=-3, ddof=1) / math.sqrt(n)
    low[..., np.arange(k), np.arange(k)] = -np.inf  # nothing is compared with itself
    return low.max(axis=-1)


def rank(
    names: Sequence[str],
    places: Sequence[float],
    values: Sequence[np.ndarray],
    level: float,
    *,
    more_is_worse: bool,
) -> Ranking:
    """The ranking of conditions from the values [k] of every replicate. Where more is better, the
    rows are the values' opposites."""
    sign = 1.0 if more_is_worse else -1.0
    rows = tuple(tuple(float(sign * v) for v in row) for row in values)
    found = Ranking(len(rows), level, names=tuple(names), places=tuple(places), rows=rows)
    if not rows or found.is_end.all():
        return found
    means, end = found.means, found.is_end
    return replace(found, effect=sign * float(means[~end].min() - means[end].min()))
