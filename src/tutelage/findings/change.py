"""What would change a verdict: more replicates, or an interval that reaches some border."""

from __future__ import annotations

import math

import numpy as np

from tutelage.config.metrics import unit_of
from tutelage.findings.best import Ranking
from tutelage.findings.claim import Claim
from tutelage.findings.finding import Verdict
from tutelage.findings.intervals import Estimate
from tutelage.findings.multiplicity import Terms
from tutelage.findings.power import POWER, replicates_for_power, upper_spread
from tutelage.findings.settings import Settings
from tutelage.findings.wording import amount, counted, decimals

_MOST_DECIMALS = 6
_TWO_SIDED = ("equivalence",)
_NO_EFFECT = ("non_inferiority", "equivalence", "prediction")  # supported without a difference


def would_change(claim: Claim, found: Estimate, terms: Terms, needed: int | None) -> str:
    """A short text without a full stop. Undecided: how many replicates would give an interval of
    +- margin, and how many an 80 % chance of support, both at the upper 80 % bound of the spread.
    Supported or refuted: the border that the interval that decided would have to reach, and how far
    away it is. `needed` is Finding.seeds_needed."""
    verdict = claim.verdict(found, terms)
    if found.n == 0:
        return "runs: no replicate has all that it compares"
    if verdict == "none":
        return "nothing here: another study can claim it"
    if isinstance(found, Ranking) and found.n > 1:
        return _set(claim, found, verdict, terms)
    if found.spread is None or needed is None:
        return "more replicates: an interval takes at least 2"
    if verdict == "undecided":
        return _replicates(claim, found, terms, needed)
    return _border(claim, found.at(claim.deciding_level(verdict, terms)), verdict)


def _set(claim: Claim, found: Ranking, verdict: Verdict, terms: Terms) -> str:
    """The same for a confidence set of the best."""
    ends = found.is_end
    if ends.all():
        return "a family that tells its ends from its inside"
    if verdict == "undecided":
        left = found.excess(max(terms.support, terms.refute)) <= 0.0
        names = {
            where: [n for n, keep in zip(found.names, left & which, strict=True) if keep]
            for where, which in (("at the ends", ends), ("inside", ~ends))
        }
        text = ", and ".join(f"{', '.join(kept)} {where}" for where, kept in names.items())
        return f"more replicates: the best can still be {text}"
    error = terms.support if verdict == "supported" else terms.refute
    which = ends if verdict == "supported" else ~ends
    excess = np.where(which, found.excess(error), np.inf)
    nearest = int(excess.argmin())
    away = _distance(float(excess[nearest]), unit_of(claim.metric), 1)
    return f"{found.names[nearest]} among the best; it is out of the set by {away}"


def _distance(away: float, unit: str, places: int) -> str:
    while places < _MOST_DECIMALS and float(f"{away:.{places}f}") == 0.0:
        places += 1
    return amount(f"{away:.{places}f}", unit)


def _replicates(claim: Claim, found: Estimate, terms: Terms, needed: int) -> str:
    if isinstance(found, Settings) and found.signs_differ:
        return "no more replicates: the effect turns round from one setting to another"
    margin = amount(f"{claim.margin:g}", unit_of(claim.metric))
    if needed > found.n:
        width = f"{needed} would give an interval of ±{margin}"
    else:
        width = f"the interval is within ±{margin} of its middle already, and lies across a border"
    assert found.spread is not None
    # Of two one-sided tests both have to be passed, so that each may fail half as often.
    wanted = 1.0 - (1.0 - POWER) / 2 if claim.config.kind in _TWO_SIDED else POWER
    bound = upper_spread(found.spread, found.n)
    error = terms.support if terms.planned is None else terms.planned
    powerful = replicates_for_power(claim.margin, bound, error, wanted)
    if claim.config.kind in _NO_EFFECT:
        regret = claim.config.kind == "prediction"
        case = "if there is no regret" if regret else "if there is no difference"
    else:
        case = f"if the effect is {margin}"
    chance = f"{counted(powerful, 'gives', 'give')} an 80 % chance of support {case}"
    text = f"more replicates: {width}; {chance} (both at the upper 80 % bound of the spread)"
    if found.images > 0.0:
        part = f"{1.96 * math.sqrt(found.images):.{decimals(found, claim.metric, claim.margin)}f}"
        part = amount(part, unit_of(claim.metric))
        text += f"; and more test images: these alone leave it uncertain by ±{part}"
    return text


def _border(claim: Claim, at: Estimate, verdict: Verdict) -> str:
    assert at.low is not None
    assert at.high is not None
    unit, config = unit_of(claim.metric), claim.config
    margin = amount(f"{claim.margin:g}", unit)
    if config.kind == "equivalence":
        name, marks = f"±{margin}", (-claim.margin, claim.margin)
    elif config.kind == "prediction":
        name, marks = f"a regret of {margin}", (claim.margin,)
    elif config.kind == "non_inferiority":
        name = f"{margin} worse"
        marks = (claim.margin if claim.more_is_worse else -claim.margin,)
    elif verdict == "supported":
        name, marks = "zero", (0.0,)
    else:
        up = config.direction in ("greater", "increasing")
        name, marks = f"{margin} {_way(config.direction)}", (claim.margin * (1 if up else -1),)
    away = min(abs(end - mark) for end in (at.low, at.high) for mark in marks)
    distance = _distance(away, unit, decimals(at, claim.metric, claim.margin))
    return f"an interval that reaches {name}; its nearer end is {distance} away"


def _way(direction: str | None) -> str:
    return {"less": "less", "greater": "more", "decreasing": "down"}.get(direction or "", "up")
