"""Looking at a study more than once: by how much each look must be more careful.

A study that adds replicates until its primary claim is decided gives chance many chances: with a
95 % t interval after each of 5 to 48 replicates, 27 % of studies without any effect were measured
to find one. Two ways to look often and be wrong as seldom as with one look:

- *declared looks*, at numbers of replicates that are set before the first: the chance of a false
  end is spent over them as O'Brien & Fleming (1979, Biometrics 35) would, by the spending function
  of Lan & DeMets (1983, Biometrika 70), little at first and nearly all of it at the last look;
- *open*: a look after every replicate, without an end set before: a confidence sequence, of which
  the t interval is wide enough to hold at all times together.

Either way a look has its own, smaller, chance of error for a t interval. What rests on intervals is
judged with that, and so holds however often one has looked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtr

from tutelage.findings.multiplicity import Terms

Looks = Sequence[int] | Literal["open"]
LOOKS = 4
MIXTURE = 1.0
"""Of the confidence sequence: effects in standard deviations are taken to be of this size, as a
normal distribution with this standard deviation. It is valid whatever they are; this makes it
narrowest where they are so."""

_NODES = 256  # of each integral; the bounds are exact to seven digits with them
_FURTHEST = 9.0  # standard deviations, below which no path is followed


@dataclass(frozen=True)
class Look:
    """The look that a results document is: after `n` replicates, of `looks`; None: the only one."""

    n: int
    looks: Looks | None

    def error(self, error: float, comparisons: int = 1) -> float:
        """The chance of error at this look that keeps that of all looks at `error`.

        Where the error is divided among several comparisons, it is the part of each that is spent
        over the looks: a part of what a look may spend of the whole is more than that.
        """
        if self.looks is None:
            return error
        return comparisons * look_error(error / comparisons, self.n, self.looks)

    def careful(self, terms: Terms, comparisons: int = 1) -> Terms:
        """The terms of a single look, as they are at this one."""
        if self.looks is None:
            return terms
        errors = {
            name: self.error(getattr(terms, name), comparisons)
            for name in ("shown", "support", "refute")
        }
        return replace(terms, **errors, planned=terms.support)

    @property
    def in_words(self) -> str:
        """What a method says of it; nothing of a single look."""
        if self.looks is None:
            return ""
        if self.looks == "open":
            return "confidence sequence, which holds after any number of replicates"
        known = ", ".join(map(str, self.looks))
        return (
            f"look {list(self.looks).index(self.n) + 1} of {len(self.looks)}, declared at {known} "
            "replicates, with O'Brien-Fleming spending"
        )


def look_of(results: Mapping[str, Any]) -> Look:
    """The look that a results document is, as its study declares it."""
    replicates = results["study"]["config"].get("replicates", {})
    return Look(replicates.get("count", 0), replicates.get("looks"))


def declared(first: int, last: int, count: int = LOOKS) -> list[int]:
    """`count` looks from `first` to `last` replicates at equal steps, fewer where there are not so
    many numbers. Raises ValueError unless 2 <= first <= last."""
    if not 2 <= first <= last:
        raise ValueError(f"no looks from {first} to {last} replicates")
    return sorted({round(n) for n in np.linspace(first, last, count)})


def look_error(error: float, n: int, looks: Looks) -> float:
    """The chance of error, of one end of a t interval over n replicates, that keeps the chance of a
    false end at *any* look at `error`.

    Raises ValueError where n is none of the declared looks.
    """
    if looks == "open":
        return _open_error(error, n)
    if n not in looks:
        raise ValueError(f"{n} replicates is none of the declared looks {list(looks)}")
    bounds = spending_bounds(error, tuple(k / max(looks) for k in looks))
    return float(ndtr(-bounds[list(looks).index(n)]))


def spent(error: float, share: float) -> float:
    """How much of `error` is spent when `share` (0 to 1) of the replicates are there.

    2 (1 - Phi(z / sqrt(share))), with z the upper error / 2 quantile (Lan & DeMets 1983).
    """
    return 2.0 * float(ndtr(ndtri(error / 2) / math.sqrt(share)))


@lru_cache(maxsize=256)
def spending_bounds(error: float, times: tuple[float, ...]) -> tuple[float, ...]:
    """The bounds that a standard normal statistic of Brownian motion exceeds at the looks `times`
    (shares of the last, increasing to 1) with a chance of `spent` in all until each.

    Found by integrating the density of paths that no look has ended (Armitage, McPherson & Rowe
    1969, J. R. Stat. Soc. A 132).
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    places, density, bounds, before, sofar = np.zeros(1), np.ones(1), [], 0.0, 0.0
    for time in times:
        step = math.sqrt(time - before)
        due = spent(error, time) - sofar

        def beyond(
            b: float, due: float = due, step: float = step,
            places: np.ndarray = places, density: np.ndarray = density,
        ) -> float:  # fmt: skip
            return float((density * ndtr((places - b) / step)).sum()) - due

        bound = float(brentq(beyond, -_FURTHEST, 4 * _FURTHEST, xtol=1e-12))  # pyright: ignore
        bounds.append(bound / math.sqrt(time))
        low = -_FURTHEST * math.sqrt(time)
        here = low + (nodes + 1.0) * (bound - low) / 2.0
        apart = (here[:, None] - places) / step
        passed = np.exp(-(apart**2) / 2.0) / (step * math.sqrt(2.0 * math.pi)) @ density
        places, density = here, passed * weights * (bound - low) / 2.0
        before, sofar = time, spent(error, time)
    return tuple(bounds)


def _open_error(error: float, n: int) -> float:
    """For the confidence sequence of level 1 - 2 error: the error of a t interval as wide.

    The likelihood ratio of t statistics, of effects in standard deviations that are normal with
    standard deviation g around zero, against none, is

        sqrt(r) ((1 + t^2 / v) / (1 + r t^2 / v)) ^ (n / 2)      v = n - 1, r = 1 / (1 + n g^2)

    (Lai 1976, Ann. Statist. 4; Rouder et al. 2009, Psychon. Bull. Rev. 16). Whatever the variance,
    it is a martingale of mean 1 where there is no effect, and so exceeds 1 / (2 error) ever with a
    chance of 2 error at most (Ville). The interval holds all effects at which it does not.
    """
    r, v = 1.0 / (1.0 + n * MIXTURE**2), n - 1.0
    ratio = (2.0 * error * math.sqrt(r)) ** (-2.0 / n)
    if ratio * r >= 1.0:
        return 0.0  # so few replicates exclude nothing
    t = math.sqrt(v * (ratio - 1.0) / (1.0 - ratio * r))
    return float(stdtr(v, -t))
