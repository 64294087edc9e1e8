"""From claims to findings: the rows, an interval, a verdict, and the sentence that says so."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.config.schema import ClaimConfig, ClaimsConfig
from tutelage.findings.claim import Claim, resolve
from tutelage.findings.finding import Finding, Rank, Verdict
from tutelage.findings.intervals import Estimate, estimate, replicates_needed
from tutelage.findings.pairing import Diverged, Results, Sample, chance_error
from tutelage.findings.statement import sentence
from tutelage.findings.wording import counted

_OVER = {"teacher_parameters": "log2 of teacher parameters", "teacher_error": "teacher test error"}


@dataclass(frozen=True)
class Judged:
    """A claim with what its rows came to; `needed` as Finding.seeds_needed."""

    claim: Claim
    sample: Sample[float]
    found: Estimate
    verdict: Verdict
    needed: int | None
    sentence: str


def find(results: Results, claims: ClaimsConfig, *, diverged: Diverged = "chance") -> list[Finding]:
    """The findings on `claims`, the primary one first, from the results document of their study.

    `diverged` says what a diverged run counts as where the metric is an error: chance error, or
    nothing. Where a compared run diverged, the finding's sentence gives the other way as well.
    Raises UserError for an unknown metric, ValueError when two rows are the same run.
    """
    ranked: list[tuple[Rank, dict[str, ClaimConfig]]] = [
        ("primary", claims.primary),
        ("secondary", claims.secondary),
    ]
    return [
        _finding(results, name, rank, judge(results, config, diverged), diverged)
        for rank, configs in ranked
        for name, config in configs.items()
    ]


def judge(results: Results, config: ClaimConfig, diverged: Diverged = "chance") -> Judged:
    """One claim on the rows of `results`, with its sentence in words. Raises as `find` does."""
    claim = resolve(results, config)
    sample, found, needed = _measure(results, claim, diverged)
    text = [sentence(claim, sample, found, needed)]
    if sample.missing:
        left = counted(sample.missing, "student seed is", "student seeds are")
        text.append(f"{left} left out, because not all of the runs compared are done.")
    if sample.diverged:
        text.append(_divergence(results, claim, sample, diverged))
    return Judged(claim, sample, found, claim.verdict(found), needed, " ".join(text))


def _measure(
    results: Results, claim: Claim, diverged: Diverged
) -> tuple[Sample[float], Estimate, int | None]:
    sample = claim.sample(results, diverged)
    found = estimate(list(sample.values.values()), claim.level)
    if found.spread is None:
        return sample, found, None
    return sample, found, replicates_needed(found.spread, claim.config.margin, claim.level)


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
        level=claim.level,
        seeds_needed=judged.needed,
        sentence=judged.sentence,
    )


def _chance(results: Results, claim: Claim) -> float | None:
    return chance_error(claim.metric, results["study"]["data"]["classes"])


def _divergence(results: Results, claim: Claim, sample: Sample[float], diverged: Diverged) -> str:
    """What became of the diverged runs, and the finding with the other way of counting them."""
    lost = counted(sample.diverged, "diverged run is", "diverged runs are")
    chance = _chance(results, claim)
    if chance is None:
        return f"{lost} left out, having no such figure."
    other: Diverged = "dropped" if diverged == "chance" else "chance"
    again = sentence(claim, *_measure(results, claim, other))
    if diverged == "dropped":
        return f"{lost} left out; counted as chance error, {chance:g} %: {again}"
    without = "it" if sample.diverged == 1 else "them"
    return f"{lost} counted as chance error, {chance:g} %; without {without}: {again}"


def _method(results: Results, judged: Judged, diverged: Diverged) -> str:
    claim, n, lost = judged.claim, judged.found.n, judged.sample.diverged
    text = f"{round(100 * claim.level)} % t interval"
    if claim.config.kind == "equivalence":
        text = f"two one-sided t tests at 5 % ({text})"
    if claim.config.trend is None:
        text += " over replicate means of differences paired on student seeds"
    else:
        text += f" over the replicates' least-squares slopes on {_OVER[claim.config.trend.over]}"
    if n > 1:
        text += f", {counted(n - 1, 'degree', 'degrees')} of freedom"
    if lost:
        filled = diverged == "chance" and _chance(results, claim) is not None
        text += f"; {counted(lost, 'diverged run', 'diverged runs')} "
        text += "counted as chance error" if filled else "left out"
    return text
