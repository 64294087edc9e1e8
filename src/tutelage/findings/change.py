"""What would change a verdict: more replicates, or an interval that reaches some border."""

from __future__ import annotations

from tutelage.config.metrics import unit_of
from tutelage.findings.claim import Claim
from tutelage.findings.intervals import Estimate
from tutelage.findings.multiplicity import Terms
from tutelage.findings.power import POWER, replicates_for_power, upper_spread
from tutelage.findings.wording import amount, counted, decimals

_TWO_SIDED = ("equivalence",)
_NO_EFFECT = ("non_inferiority", "equivalence")  # supported where there is no difference


def would_change(claim: Claim, found: Estimate, terms: Terms, needed: int | None) -> str:
    """A short text without a full stop. Undecided: how many replicates would give an interval of
    +- margin, and how many an 80 % chance of support, both at the upper 80 % bound of the spread.
    Supported or refuted: the border that the interval that decided would have to reach, and how far
    away it is. `needed` is Finding.seeds_needed."""
    verdict = claim.verdict(found, terms)
    if found.effect is None:
        return "runs: no replicate has all that it compares"
    if verdict == "none":
        return "nothing here: another study can claim it"
    if found.spread is None or needed is None:
        return "more replicates: an interval takes at least 2"
    if verdict == "undecided":
        return _replicates(claim, found, terms, needed)
    error = terms.support if verdict == "supported" else terms.refute
    return _border(claim, found.at(_level(claim, verdict, error)), verdict)


def _level(claim: Claim, verdict: str, error: float) -> float:
    wide = verdict == "refuted" and claim.config.kind in _TWO_SIDED
    return 1.0 - error if wide else claim.level_at(error)


def _replicates(claim: Claim, found: Estimate, terms: Terms, needed: int) -> str:
    margin = amount(f"{claim.config.margin:g}", unit_of(claim.metric))
    if needed > found.n:
        width = f"{needed} would give an interval of ±{margin}"
    else:
        width = f"the interval is within ±{margin} of its middle already, and lies across a border"
    assert found.spread is not None
    # Of two one-sided tests both have to be passed, so that each may fail half as often.
    wanted = 1.0 - (1.0 - POWER) / 2 if claim.config.kind in _TWO_SIDED else POWER
    bound = upper_spread(found.spread, found.n)
    powerful = replicates_for_power(claim.config.margin, bound, terms.support, wanted)
    if claim.config.kind in _NO_EFFECT:
        case = "if there is no difference"
    else:
        case = f"if the effect is {margin}"
    chance = f"{counted(powerful, 'gives', 'give')} an 80 % chance of support {case}"
    return f"more replicates: {width}; {chance} (both at the upper 80 % bound of the spread)"


def _border(claim: Claim, at: Estimate, verdict: str) -> str:
    assert at.low is not None
    assert at.high is not None
    unit, config = unit_of(claim.metric), claim.config
    margin = amount(f"{config.margin:g}", unit)
    if config.kind == "equivalence":
        name, marks = f"±{margin}", (-config.margin, config.margin)
    elif config.kind == "non_inferiority":
        name = f"{margin} worse"
        marks = (config.margin if claim.more_is_worse else -config.margin,)
    elif verdict == "supported":
        name, marks = "zero", (0.0,)
    else:
        up = config.direction in ("greater", "increasing")
        name, marks = f"{margin} {_way(config.direction)}", (config.margin * (1 if up else -1),)
    away = min(abs(end - mark) for end in (at.low, at.high) for mark in marks)
    places = decimals(at, claim.metric, config.margin)
    while places < 6 and float(f"{away:.{places}f}") == 0.0:
        places += 1
    distance = amount(f"{away:.{places}f}", unit)
    return f"an interval that reaches {name}; its nearer end is {distance} away"


def _way(direction: str | None) -> str:
    return {"less": "less", "greater": "more", "decreasing": "down"}.get(direction or "", "up")
