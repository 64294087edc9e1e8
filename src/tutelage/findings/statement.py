"""The sentence of a finding: what was measured, how surely, and what follows for its claim."""

from __future__ import annotations

from typing import Any

from tutelage.config.metrics import unit_of
from tutelage.findings.best import Ranking
from tutelage.findings.claim import Claim
from tutelage.findings.finding import Verdict
from tutelage.findings.intervals import Estimate
from tutelage.findings.multiplicity import Terms, alone
from tutelage.findings.pairing import Sample
from tutelage.findings.prediction import Prediction
from tutelage.findings.settings import DEPENDS, Settings
from tutelage.findings.wording import (
    amount,
    comparison,
    decimals,
    evidence,
    interval,
    percent,
    slope_text,
)
from tutelage.findings.wording_best import ranked
from tutelage.findings.wording_prediction import below, predicted

_PER = {
    "teacher_parameters": "doubling of the teacher's parameters",
    "teacher_error": "point of the teacher's own test error",
}
_WAYS = {
    "less": "lower by",
    "greater": "higher by",
    "decreasing": "a fall of",
    "increasing": "a rise of",
}
_REASONS: dict[tuple[str, Verdict], str] = {
    ("difference", "refuted"): "{way} {margin} or more is excluded",
    ("trend", "refuted"): "{way} {margin} or more is excluded",
    ("non_inferiority", "supported"): "worse by {margin} or more is excluded",
    ("non_inferiority", "refuted"): "it is worse by more than {margin}",
    ("non_inferiority", "undecided"): "whether it is worse by {margin} or more is open",
    ("prediction", "supported"): "a regret of {margin} or more is excluded",
    ("prediction", "refuted"): "the regret is more than {margin}",
    ("prediction", "undecided"): "whether the regret is {margin} or more is open",
    ("best", "supported"): "neither end is among them",
    ("best", "refuted"): "nothing inside is among them",
    ("equivalence", "supported"): "a difference of {margin} or more is excluded",
    ("equivalence", "refuted"): "the difference is more than {margin}",
    ("equivalence", "undecided"): "whether the difference is {margin} or more is open",
}


def sentence(
    claim: Claim,
    sample: Sample[Any],
    found: Estimate,
    needed: int | None = None,
    terms: Terms | None = None,
) -> str:
    """The whole sentence, such as "kd/matched has 2.5 points less test error than kd/large (95 %
    interval 2.1 to 2.9 less, 8 replicates): supported."

    `needed` is the number of replicates that the margin asks for: an undecided claim names it.
    Where Holm's step-down decides what the interval shown does not, it gives that interval too.
    """
    terms = alone(claim.error) if terms is None else terms
    verdict = claim.verdict(found, terms)
    word = "exploratory, so without a verdict" if verdict == "none" else verdict
    if found.n == 0:
        return f"{_unmeasured(claim)}: {word}."
    margin = amount(f"{claim.margin:g}", unit_of(claim.metric))
    reason = _REASONS.get((claim.config.kind, verdict), "")
    if isinstance(found, Prediction) and verdict == "undecided" and below(found, claim.margin):
        reason = "a regret of {margin} or more is excluded, but it may be luck"
    if isinstance(found, Ranking):
        text = ranked(claim, sample, found, terms.shown)
    elif isinstance(found, Prediction):
        text = predicted(claim, sample, found)
    else:
        text = _measured(claim, sample, found)
    if isinstance(found, Settings):
        text += f"; {elsewhere(claim, found)}"
        reason = f"in all: {reason}" if reason else ""
        reason = f"signs differ, so it {DEPENDS}" if found.signs_differ else reason
        reason = reason if verdict != "undecided" or found.signs_differ else ""
    if reason and (found.low is not None or isinstance(found, Ranking)):
        text += "; " + reason.format(margin=margin, way=_WAYS.get(claim.config.direction or ""))
    text += f"{_step(claim, found, terms, verdict)}: {word}"
    if verdict == "undecided" and needed is not None and needed > found.n:
        text += f"; {needed} replicates would give an interval of ±{margin} (at the upper 80 % "
        text += "bound of the spread)"
    return f"{text}."


def _step(claim: Claim, found: Estimate, terms: Terms, verdict: Verdict) -> str:
    """The interval that decided, where the one that is shown would say something else."""
    if not terms.decides or verdict == claim.verdict(found, alone(terms.shown)):
        return ""
    at = found.at(claim.deciding_level(verdict, terms))
    if isinstance(found, Ranking):
        names = ", ".join(found.among(terms.refute if verdict == "refuted" else terms.support))
        return f"; decided by the {percent(at.level)} % set of Holm's step-down, {names}"
    words = ("down", "up") if claim.config.trend else ("less", "more")
    shown = interval(at, decimals(at, claim.metric, claim.margin), words)
    return f"; decided by the {percent(at.level)} % interval of Holm's step-down, {shown}"


def elsewhere(claim: Claim, found: Settings) -> str:
    """ "b-4x against a-4x: 0.4 points less (0.1 to 0.7 less)" for each other setting."""
    said = []
    for (first, second), each in found.others:
        if each.effect is None:
            said.append(f"{first} against {second}: no replicate has both")
            continue
        places = decimals(each, claim.metric, claim.margin)
        way = "more" if each.effect > 0 else "less"
        size = amount(f"{abs(each.effect):.{places}f}", unit_of(claim.metric))
        said.append(f"{first} against {second}: {size} {way} ({interval(each, places)})")
    return "; ".join(said)


def _unmeasured(claim: Claim) -> str:
    if claim.config.best is not None:
        return f"No replicate has all of {', '.join(claim.conditions)} with the same student seed"
    if claim.config.prediction is not None:
        names = ", ".join(claim.conditions)
        return f"No replicate has students of all of {names} in two halves, and their teachers"
    if claim.config.trend is None:
        first, second = claim.conditions
        if claim.config.between is not None:
            return f"No replicate has figures of both {first} and {second}"
        return f"No replicate has both {first} and {second} with the same student seed"
    names = ", ".join(claim.conditions) or "the conditions of the claim"
    return f"No replicate has the runs of at least two different teachers in {names}"


def _interaction(claim: Claim, effect: float, places: int) -> str:
    """ "dkd/a minus dkd/b has 0.5 points more test error than kd/a minus kd/b"."""
    first, second = claim.conditions
    third, fourth = claim.config.minus or ("", "")
    pairs = f"{first} minus {second}", f"{third} minus {fourth}"
    return comparison(*pairs, claim.metric, effect, places)


def _measured(claim: Claim, sample: Sample[Any], found: Estimate) -> str:
    assert found.effect is not None
    places = decimals(found, claim.metric, claim.margin)
    trend = claim.config.trend
    if trend is None:
        first, second = claim.conditions
        text = comparison(first, second, claim.metric, found.effect, places)
        if claim.config.minus is not None:
            text = _interaction(claim, found.effect, places)
        text = f"{claim.scope(found.n)}{text}"
        return f"{text} ({evidence(found, sample, places)})"
    rows = f"over {', '.join(claim.conditions)}"
    text = f"with each {_PER[trend.over]}, {slope_text(claim.metric, found.effect, places)}"
    text = f"{claim.scope(found.n)}{text}"
    shown = evidence(found, sample, places, ("down", "up"))
    return f"{text[0].upper()}{text[1:]} ({shown}; {rows})"
