"""Can the student not follow its teacher, was it not trained long enough, or is following no help?

How closely a student follows is the shape part of the KL from its teacher on the training images
(at temperature 4): what no factor on the logits takes away. It is held against a student of the
teacher's own architecture, which can follow by construction, and against one trained four times as
long. How far another seed of the teacher itself is from it is told beside: no student is asked for
more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tutelage.config.schema import ClaimConfig
from tutelage.findings.judge import Judged, judge
from tutelage.findings.pairing import Results, is_full, replicate_means, teacher_named

METRIC = "train_kl_shape_t4"
LONGER = 4
"""How many times as many epochs a schedule has that shows whether a student was not optimised."""

KL_MARGIN = 0.01
"""Nats of KL that count as following no less closely, where no trend claim on a KL has a margin."""

_ERROR_MARGIN = 0.1  # points; where the primary claim has no margin on test error

CANNOT = "cannot mimic"
NOT_OPTIMISED = "was not optimised"
NO_HELP = "mimics, and it does not help"
HELPS = "mimics, and it helps"
UNDECIDED = "undecided"

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Setup:
    """The conditions, by name, that tell the cases apart for one teacher and one student.

    `own` is a student of the teacher's architecture, `long` one that was trained four times as
    long or longer; `scratch` and `twin` are controls, of the student and of the teacher's network.
    All but `own` and `base` may be missing.
    """

    teacher: str
    base: str
    own: str
    long: str | None
    scratch: str | None
    twin: str | None


def mimicry(results: Results) -> list[dict[str, str]]:
    """What the study says on each teacher that a student of its own architecture was taught by too:
    {"sentence": teacher, "text", "verdict"}.

    With d the student's KL less that of the student of the teacher's architecture, and intervals
    as for non-inferiority (95 %, over replicates):

    - "mimics, and it helps" or "... does not help": d is less than the margin, and the student's
      test error less that of its control is supported, or refuted, to be a gain.
    - "cannot mimic": d is more than the margin, and so it is after a schedule four times as long.
    - "was not optimised": d is more than the margin, but less than it after the longer schedule.
    - "undecided": anything else; the sentence says what is missing.
    """
    return [_told(results, setup) for setup in setups(results)]


def setups(results: Results) -> Iterator[Setup]:
    """The comparisons that a study holds, one for each full teacher and way of teaching."""
    conditions = results["conditions"]
    for base in conditions:
        teacher = teacher_named(results, base["teacher"])
        if teacher is None or not is_full(teacher) or base["student"] == teacher["model"]:
            continue
        alike = [each for each in conditions if _taught_alike(each, base)]
        own = [c for c in alike if c["student"] == teacher["model"]
               and c["epochs"] == base["epochs"]]  # fmt: skip
        shorter = [c for c in alike if c["student"] == base["student"]
                   and c["epochs"] * LONGER <= base["epochs"]]  # fmt: skip
        if not own or shorter:  # the long one is part of the other's set-up
            continue
        long = [c for c in alike if c["student"] == base["student"]
                and c["epochs"] >= LONGER * base["epochs"]]  # fmt: skip
        yield Setup(
            teacher["name"], base["name"], own[0]["name"], long[0]["name"] if long else None,
            _control(results, base["student"], base["epochs"]),
            _control(results, teacher["model"], teacher.get("epochs", base["epochs"])),
        )  # fmt: skip


def _taught_alike(one: Entry, other: Entry) -> bool:
    return all(one.get(key) == other.get(key) for key in ("teacher", "loss", "precision"))


def _control(results: Results, student: str, epochs: int) -> str | None:
    """The control without a teacher of a network and a length."""
    # Of a search the cells come last: most have other settings.
    for condition in sorted(results["conditions"], key=lambda c: bool(c.get("searched"))):
        same = condition["student"] == student and condition["epochs"] == epochs
        if condition["teacher"] is None and same:
            return condition["name"]
    return None


def _told(results: Results, setup: Setup) -> dict[str, str]:
    margin = _margin(results, kl=True) or KL_MARGIN
    follows = _no_worse(results, setup.base, setup.own, margin)
    seen = [follows.sentence]
    verdict, missing = UNDECIDED, ""
    if follows.verdict == "supported":
        verdict, missing = _helped(results, setup, seen)
    elif follows.verdict == "refuted":
        verdict, missing = _excused(results, setup, margin, seen)
    text = f"{setup.base}, taught by {setup.teacher}: {verdict}{missing}. {' '.join(seen)}"
    return {"sentence": setup.teacher, "text": text + _figures(results, setup), "verdict": verdict}


def _helped(results: Results, setup: Setup, seen: list[str]) -> tuple[str, str]:
    """The verdict on a student that follows."""
    if setup.scratch is None:
        return UNDECIDED, " (it mimics, and there is no control of its length without a teacher)"
    margin = _margin(results, kl=False) or _ERROR_MARGIN
    pair = [setup.base, setup.scratch]
    gain = judge(results, ClaimConfig(difference=pair, direction="less", margin=margin))
    seen.append(gain.sentence)
    if gain.verdict == "undecided":
        return UNDECIDED, " (it mimics; whether that helps is open)"
    return HELPS if gain.verdict == "supported" else NO_HELP, ""


def _excused(results: Results, setup: Setup, margin: float, seen: list[str]) -> tuple[str, str]:
    """The verdict on a student that does not follow."""
    if setup.long is None:
        return UNDECIDED, f" (it does not mimic, and nobody was trained {LONGER} times as long)"
    late = _no_worse(results, setup.long, setup.own, margin)
    seen.append(late.sentence)
    verdicts = {"supported": NOT_OPTIMISED, "refuted": CANNOT}
    found = verdicts.get(late.verdict, UNDECIDED)
    return found, " (what a longer schedule changes is open)" if found == UNDECIDED else ""


def _no_worse(results: Results, first: str, second: str, margin: float) -> Judged:
    return judge(
        results, ClaimConfig(non_inferiority=[first, second], metric=METRIC, margin=margin)
    )


def _margin(results: Results, *, kl: bool) -> float | None:
    """The margin of a trend on a KL, or of the primary claim on test error, if there is one."""
    claims = results["study"]["config"].get("claims", {})
    ranks = ("primary", "secondary") if kl else ("primary",)
    for rank in ranks:
        for claim in claims.get(rank, {}).values():
            trend = claim.get("trend")
            on_kl = trend is not None and "_kl" in trend.get("of", "")
            on_error = trend is None and claim.get("metric", "test_error") == "test_error"
            if (kl and on_kl) or (not kl and on_error):
                return claim["margin"]
    return None


def _figures(results: Results, setup: Setup) -> str:
    """The distances themselves, and what is left above that of the teacher's other seed."""
    means = {name: _mean(results, name) for name in (setup.base, setup.own)}
    shown = [f"{name} {mean:.3g}" for name, mean in means.items() if mean is not None]
    twin, base = _twin(results, setup), means[setup.base]
    if twin is not None:
        shown.append(f"another seed of {setup.teacher} itself {twin:.3g}")
    text = f" KL in nats (shape part, train, temperature 4): {', '.join(shown)}." if shown else ""
    if twin is not None and base is not None:
        side = "farther from it than" if base > twin else "closer to it than"
        text += f" So the student is {abs(base - twin):.2g} {side} another seed of it."
    return text


def _mean(results: Results, condition: str) -> float | None:
    means = replicate_means(results, METRIC, [condition]).values
    return float(np.mean(list(means.values()))) if means else None


def _twin(results: Results, setup: Setup) -> float | None:
    """The mean KL from the teacher of the control of its own network, over replicates."""
    found: dict[int, list[float]] = {}
    for run in results["runs"]:
        toward = run.get("toward", {}).get(setup.teacher, {})
        if run["condition"] == setup.twin and run["role"] == "student" and METRIC in toward:
            found.setdefault(run["replicate"], []).append(toward[METRIC])
    return float(np.mean([np.mean(each) for each in found.values()])) if found else None
