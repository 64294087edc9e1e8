"""From claims to findings: the rows, an interval, a verdict, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tutelage.config.schema import ClaimConfig, ClaimsConfig
from tutelage.findings.before import before
from tutelage.findings.best import Ranking
from tutelage.findings.change import would_change
from tutelage.findings.claim import Claim, resolve
from tutelage.findings.compute import rival
from tutelage.findings.finding import Finding, Rank, Verdict
from tutelage.findings.intervals import Estimate, replicates_needed
from tutelage.findings.looks import look_of
from tutelage.findings.multiplicity import Terms, alone, together
from tutelage.findings.pairing import Diverged, Results, Sample, chance_error
from tutelage.findings.power import upper_spread
from tutelage.findings.prediction import Prediction
from tutelage.findings.settings import Settings
from tutelage.findings.statement import sentence
from tutelage.findings.wording import counted, percent
from tutelage.findings.wording_prediction import prediction_method

_OVER = {"teacher_parameters": "log2 of teacher parameters", "teacher_error": "teacher test error"}


@dataclass(frozen=True)
class Judged:
    """A claim with what its rows came to; `needed` as Finding.seeds_needed."""

    claim: Claim
    sample: Sample[Any]
    found: Estimate
    verdict: Verdict
    needed: int | None
    sentence: str
    terms: Terms


def find(results: Results, claims: ClaimsConfig, *, diverged: Diverged = "chance") -> list[Finding]:
    """The findings on `claims`, the primary one first, from the results document of their study.

    The secondary ones share one 5 % (see `multiplicity`), exploratory ones have no verdict.
    `diverged` says what a diverged run counts as where the metric is an error: chance error, or
    nothing. Where a compared run diverged, the finding's sentence gives the other way as well.
    Raises UserError for an unknown metric, ValueError when two rows are the same run.
    """
    findings = []
    for rank, configs in claims.ranked().items():
        terms = _terms(results, rank, list(configs.values()), diverged)
        for (name, config), term in zip(configs.items(), terms, strict=True):
            judged = judge(results, config, diverged, term)
            findings.append(_finding(results, name, rank, judged, diverged))
    return findings


def _terms(
    results: Results, rank: Rank, configs: Sequence[ClaimConfig], diverged: Diverged
) -> list[Terms]:
    """On which terms each claim of a rank is judged."""
    claims, look = [resolve(results, config) for config in configs], look_of(results)
    if rank != "secondary" or len(claims) < 2:
        decides = rank != "exploratory"
        return [look.careful(alone(c.error, decides=decides), c.comparisons) for c in claims]
    measured = [(claim, claim.measure(results, diverged, claim.error)[1]) for claim in claims]

    def rejects(claim: Claim, found: Estimate, error: float, side: str) -> bool:
        return getattr(claim.nulls(found, look.error(error, claim.comparisons)), side)

    terms = together(
        *(
            [partial(rejects, claim, found, side=side) for claim, found in measured]
            for side in ("supports", "refutes")
        )
    )
    return [look.careful(t, c.comparisons) for t, c in zip(terms, claims, strict=True)]


def judge(
    results: Results,
    config: ClaimConfig,
    diverged: Diverged = "chance",
    terms: Terms | None = None,
) -> Judged:
    """One claim on the rows of `results`, with its sentence in words: on those `terms`, or as one
    that is judged alone. Raises as `find` does."""
    claim = resolve(results, config)
    if terms is None:
        terms = look_of(results).careful(alone(claim.error), claim.comparisons)
    sample, found, needed = _measure(results, claim, diverged, terms)
    text = [sentence(claim, sample, found, needed, terms)]
    if sample.missing:
        left = counted(sample.missing, "student seed is", "student seeds are")
        text.append(f"{left} left out, because not all of the runs compared are done.")
    if sample.diverged:
        text.append(_divergence(results, claim, sample, diverged, terms))
    earlier = before(results, config)
    if earlier and terms.decides:
        text.append(earlier)
    verdict = claim.verdict(found, terms)
    return Judged(claim, sample, found, verdict, needed, " ".join(text), terms)


def _measure(
    results: Results, claim: Claim, diverged: Diverged, terms: Terms
) -> tuple[Sample[Any], Estimate, int | None]:
    sample, found = claim.measure(results, diverged, terms.shown)
    if found.spread is None:
        return sample, found, None
    bound = upper_spread(found.spread, found.n)
    level = found.level if terms.planned is None else claim.level_at(terms.planned)
    return sample, found, replicates_needed(bound, claim.margin, level)


def _finding(
    results: Results, name: str, rank: Rank, judged: Judged, diverged: Diverged
) -> Finding:
    claim, found = judged.claim, judged.found
    return Finding(
        claim=name,
        rank=rank,
        kind=claim.config.kind,
        metric=claim.metric,
        verdict=judged.verdict,
        effect=found.effect,
        low=found.low,
        high=found.high,
        unit=claim.unit,
        margin=claim.config.margin,
        n=found.n,
        method=_method(results, judged, diverged),
        level=found.level,
        seeds_needed=judged.needed,
        sentence=judged.sentence,
        step_level=_step_level(judged),
        would_change=would_change(claim, found, judged.terms, judged.needed),
        among=found.among(judged.terms.shown) if isinstance(found, Ranking) and found.n else None,
        settings=found.rows() if isinstance(found, Settings) else None,
        depends=isinstance(found, Settings) and found.signs_differ,
        prediction=found.to_dict() if isinstance(found, Prediction) and found.n else None,
    )


def _step_level(judged: Judged) -> float | None:
    """The level that decided; where nothing did, the one at which the step-down ended."""
    if not judged.terms.decides:
        return None
    return judged.claim.deciding_level(judged.verdict, judged.terms)


def _chance(results: Results, claim: Claim) -> float | None:
    return chance_error(claim.metric, results["study"]["data"]["classes"])


def _divergence(
    results: Results, claim: Claim, sample: Sample[Any], diverged: Diverged, terms: Terms
) -> str:
    """What became of the diverged runs, and the finding with the other way of counting them."""
    lost = counted(sample.diverged, "diverged run is", "diverged runs are")
    chance = _chance(results, claim)
    if chance is None:
        return f"{lost} left out, having no such figure."
    other: Diverged = "dropped" if diverged == "chance" else "chance"
    again = sentence(claim, *_measure(results, claim, other, terms), terms)
    if diverged == "dropped":
        return f"{lost} left out; counted as chance error, {chance:g} %: {again}"
    without = "it" if sample.diverged == 1 else "them"
    return f"{lost} counted as chance error, {chance:g} %; without {without}: {again}"


def _method(results: Results, judged: Judged, diverged: Diverged) -> str:
    claim = judged.claim
    if isinstance(judged.found, Ranking):
        text = f"{percent(judged.found.level)} % confidence set of the best (multiple comparisons "
        text += "with the best by one-sided t tests on differences paired on student seeds, "
        text += f"Bonferroni over {max(len(claim.conditions) - 1, 1)})"
        return text + _footnotes(results, judged, diverged)
    if isinstance(judged.found, Prediction):
        return prediction_method(claim, judged.found) + _footnotes(results, judged, diverged)
    text = f"{percent(judged.found.level)} % t interval"
    if claim.config.kind == "equivalence":
        error = 100.0 * judged.terms.shown
        text = f"two one-sided t tests at {error:.2g} % ({text})"
    if claim.config.trend is None:
        if claim.config.between:
            text += " over the replicates' differences between the two teachers' own figures"
        else:
            of = "differences between two differences" if claim.config.minus else "differences"
            text += f" over replicate means of {of} paired on student seeds"
        text += _on_images(results, judged)
        if claim.config.account:
            first, second = claim.conditions
            text += f", against {rival(results, first, second, claim.config.account)}"
        if claim.config.also:
            text += f", in each of {len(claim.config.also) + 1} settings (intersection-union test)"
    else:
        text += f" over the replicates' least-squares slopes on {_OVER[claim.config.trend.over]}"
    return text + _footnotes(results, judged, diverged)


def _on_images(results: Results, judged: Judged) -> str:
    """How the choice of test images is accounted for, where the claim is about others too."""
    if judged.claim.config.images != "new":
        return ""
    if judged.found.freedom is not None:
        return " and over test images (two-way)"
    table = judged.claim.image_table(results)
    if table is not None and table["same"] is False:
        return ", each replicate on test images of its own"
    return " (of these test images only: run the study again to have it of new ones)"


def _footnotes(results: Results, judged: Judged, diverged: Diverged) -> str:
    """Degrees of freedom, what became of diverged runs, and the correction."""
    claim, n, lost, text = judged.claim, judged.found.n, judged.sample.diverged, ""
    freedom = judged.found.freedom
    if freedom is not None:
        text += f", {freedom:.1f} degrees of freedom"
    elif n > 1:
        text += f", {counted(n - 1, 'degree', 'degrees')} of freedom"
    if lost:
        filled = diverged == "chance" and _chance(results, claim) is not None
        text += f"; {counted(lost, 'diverged run', 'diverged runs')} "
        text += "counted as chance error" if filled else "left out"
    step = _step_level(judged)
    if judged.terms.claims > 1 and step is not None:
        ended = "ended" if judged.verdict == "undecided" else "decided"
        text += f"; Holm over {judged.terms.claims} secondary claims, {ended} at {percent(step)} %"
    looked = look_of(results).in_words
    return f"{text}; {looked}" if looked else text
