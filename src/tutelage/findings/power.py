"""How many replicates a claim needs, from a spread that is not taken for better than it is known.

The standard deviation of a few replicates is itself uncertain: from 6 of them the true one is more
than 1.46 times as large in one case of five. So numbers of replicates rest on its upper 80 % bound,
never on the effect that was observed.
"""

from __future__ import annotations

import math

from scipy.special import chdtri, nctdtr, ndtr, ndtri

from tutelage.findings.intervals import least, t_quantile

CONFIDENCE = 0.8  # of the bound on the spread
POWER = 0.8


def upper_spread(spread: float, n: int, confidence: float = CONFIDENCE) -> float:
    """The upper `confidence` bound of the standard deviation of which n values showed `spread`.

    spread * sqrt((n - 1) / q), with q the 1 - confidence quantile of chi-square with n - 1 degrees
    of freedom; exact for values that are normally distributed. Raises ValueError for n < 2.
    """
    if n < 2:
        raise ValueError(f"a spread needs at least 2 values, not {n}")
    return upper_bound(spread, n - 1, confidence)


def upper_bound(spread: float, freedom: float, confidence: float = CONFIDENCE) -> float:
    """`upper_spread` for a spread of so many degrees of freedom, which need not be whole."""
    return spread * math.sqrt(freedom / float(chdtri(freedom, confidence)))


def power(n: int, effect: float, spread: float, error: float = 0.025) -> float:
    """The chance that the mean of n values lies beyond zero by a t test with `error` on one side.

    1 - F(t), with F the noncentral t distribution of n - 1 degrees of freedom and noncentrality
    effect sqrt(n) / spread, and t its central 1 - error quantile (Cohen 1988, chapter 2). Raises
    ValueError for n < 2 or a spread that is not positive.
    """
    if n < 2 or not spread > 0.0:
        raise ValueError(f"no power for {n} values with spread {spread}")
    shift, quantile = effect * math.sqrt(n) / spread, float(t_quantile(1 - 2 * error, n))
    found = 1.0 - float(nctdtr(n - 1, shift, quantile))
    # Where the series gives up, the distribution is the normal one to all digits that matter.
    return found if math.isfinite(found) else float(ndtr(shift - quantile))


def replicates_for_power(
    effect: float, spread: float, error: float = 0.025, wanted: float = POWER
) -> int:
    """The least n >= 2 at which `power` is at least `wanted`, for an effect in the direction asked
    for. Raises ValueError unless spread is finite and >= 0, effect > 0 and 0 < wanted < 1.
    """
    if not (0.0 <= spread < math.inf and effect > 0.0 and 0.0 < wanted < 1.0):
        raise ValueError(f"no number of replicates for spread {spread} and effect {effect}")
    if spread == 0.0:
        return 2
    # So many are beyond what the noncentral t is worth: the normal one is the same to a permille.
    many = ((float(ndtri(1 - error)) + float(ndtri(wanted))) * spread / effect) ** 2
    if many > 1e6:
        return math.ceil(many)
    return least(lambda n: power(n, effect, spread, error) >= wanted)
