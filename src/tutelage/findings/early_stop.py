"""Two sentences about stopped teachers, from data, and never one for the other.

(A) A teacher that memorises wrong labels makes a better student when stopped early.
(B) A stopped teacher that is no more accurate itself teaches better: the paper's paradox.

A stop that makes the teacher itself more accurate is evidence on (A) where labels are wrong, and
never on (B); a stop that does not is evidence on (B), and never on (A).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from tutelage.config.schema import ClaimConfig
from tutelage.findings.finding import Verdict
from tutelage.findings.judge import Judged, judge
from tutelage.findings.pairing import Results
from tutelage.findings.stops import Pair, Stop, StopComparison, comparisons, stops
from tutelage.findings.wording import comparison, decimals, interval

SentenceVerdict = Verdict | Literal["not tested", "depends on softness"]

A = "A teacher that memorises wrong labels makes a better student when stopped early"
B = "A stopped teacher that is no more accurate itself teaches better"

_MARGIN = 0.1  # points; used where the primary claim has no margin on test error
_MOST_OTHERS = 4
_NONE = (
    "the study has no stopped teacher whose own validation error is known beside that of the same "
    "network fully trained, with students of both that are otherwise alike"
)


def sentences(results: Results) -> list[dict[str, str]]:
    """What the study says on (A) and on (B): {"sentence": "A" | "B", "text", "verdict"} each.

    The verdict is on the student's test error, stopped minus full teacher, as on a claim of a
    difference with direction `less`; its margin is the primary claim's, where that is on test
    error, else 0.1 point. Of several stops, the verdict is on one that was compared with matched
    entropies, if there is one, and among those on the one of least validation error of its own: a
    choice that never looks at the students. With both comparisons, matched and raw, see `combine`.
    """
    helped: list[StopComparison] = []
    unhelped: list[StopComparison] = []
    for stop in stops(results):
        (helped if stop.is_more_accurate else unhelped).extend(comparisons(results, stop))
    if results["study"]["data"]["label_noise"] == 0.0:
        a = _untested("A", A, "no label of this study is made wrong (label noise 0)", [])
    elif helped:
        a = _tested(results, "A", A, helped)
    else:
        why = "no stopped teacher is more accurate itself" if unhelped else _NONE
        a = _untested("A", A, why, unhelped)
    if unhelped:
        b = _tested(results, "B", B, unhelped)
    else:
        why = "every stopped teacher is more accurate itself" if helped else _NONE
        b = _untested("B", B, why, helped)
    return [a, b]


def combine(matched: Judged, raw: Judged) -> SentenceVerdict:
    """One verdict from the entropy-matched comparison and the raw one.

    Undecided where the matched one is. Where both have the same verdict, that one. Otherwise the
    matched one's if both effects have the same sign, and "depends on softness" if they have not.
    So nothing is supported against the sign of the raw comparison, and a sign that may be noise
    makes no dependence on softness by itself.
    """
    if matched.verdict in ("undecided", raw.verdict):
        return matched.verdict
    if matched.found.effect is None or raw.found.effect is None:
        return "undecided"
    same_sign = matched.found.effect * raw.found.effect > 0.0
    return matched.verdict if same_sign else "depends on softness"


def _untested(letter: str, title: str, why: str, seen: Sequence[StopComparison]) -> dict[str, str]:
    figures = dict.fromkeys(_figures(item.stop) for item in seen)
    because = f"{why}: {'; '.join(figures)}" if figures else why
    text = f"{title}: not tested here, because {because}."
    return {"sentence": letter, "text": text, "verdict": "not tested"}


def _tested(
    results: Results, letter: str, title: str, candidates: Sequence[StopComparison]
) -> dict[str, str]:
    chosen = min(
        candidates, key=lambda item: (item.matched is None, item.raw is None, item.stop.error)
    )
    matched, raw = _judged(results, chosen.matched), _judged(results, chosen.raw)
    present = [judged for judged in (matched, raw) if judged is not None]
    verdict: SentenceVerdict = present[0].verdict
    if matched is not None and raw is not None:
        verdict = combine(matched, raw)
    few = any(judged.claim.scope(judged.found.n) for judged in present)
    noise = results["study"]["data"]["label_noise"]
    parts = [
        f"{title}: {verdict}{' for these teachers' if few else ''}.",
        f"With {f'{100 * noise:g} %' if noise else 'none'} of the labels made wrong, "
        f"{_figures(chosen.stop)}.",
    ]
    for judged, kind in ((matched, "entropy-matched"), (raw, "raw")):
        if judged is None:
            parts.append(f"There is no {kind} comparison of these two in the study.")
        else:
            parts.append(f"{kind.capitalize()}: {judged.sentence}")
    if verdict == "depends on softness":
        parts.append(
            "The two effects differ in sign, so it depends on the softness of the targets."
        )
    parts.extend(_others(results, [item for item in candidates if item is not chosen]))
    if letter == "A":
        parts.append(
            "This says nothing on the paper's paradox, sentence (B), which is about stopped "
            "teachers that are no more accurate themselves."
        )
    return {"sentence": letter, "text": " ".join(parts), "verdict": verdict}


def _judged(results: Results, pair: Pair | None) -> Judged | None:
    if pair is None:
        return None
    config = ClaimConfig(difference=list(pair), direction="less", margin=_margin(results))
    return judge(results, config)


def _margin(results: Results) -> float:
    primary: dict[str, Any] = results["study"]["config"].get("claims", {}).get("primary", {})
    for claim in primary.values():
        of_pair = not claim.get("trend") and claim.get("margin") is not None
        if claim.get("metric", "test_error") == "test_error" and of_pair:
            return claim["margin"]
    return _MARGIN


def _figures(stop: Stop) -> str:
    """A stop in words, with both teachers' own validation errors in as many decimals as it takes
    to tell them apart."""
    a, b = stop.error, stop.full_error
    places = next((p for p in (1, 2, 3) if a == b or f"{a:.{p}f}" != f"{b:.{p}f}"), 4)
    stopped, full = stop.stopped, stop.full
    return (
        f"{stopped['name']}, a {stopped['model']} {stopped['stop']}, itself has {a:.{places}f} % "
        f"validation error, against {b:.{places}f} % of {full['name']}, fully trained"
    )


def _others(results: Results, items: Sequence[StopComparison]) -> list[str]:
    """The comparisons that were not chosen, as figures in one sentence, if there are any."""
    shown = []
    for item in items[:_MOST_OTHERS]:
        judged = _judged(results, item.matched or item.raw)
        if judged is None or judged.found.effect is None:
            continue
        found = judged.found
        places = decimals(found, "test_error")
        first, second = judged.claim.conditions
        text = comparison(first, second, "test_error", judged.found.effect, places)
        shown.append(f"{text} ({interval(found, places)})")
    if len(items) > _MOST_OTHERS:
        shown.append(f"and {len(items) - _MOST_OTHERS} more")
    return [f"Not chosen, so without a verdict: {'; '.join(shown)}."] if shown else []
