"""Studies of known truth: what their runs came to, what they claim, and what is really so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tutelage.config.schema import ClaimConfig, ClaimsConfig
from tutelage.findings import Finding

Errors = Mapping[str, np.ndarray]
"""Test errors in percent of each condition, [replicates, students]; NaN where a run diverged."""

Pool = Mapping[str, np.ndarray]
"""Test errors in percent of each condition of the pool, [replicates, students]."""


@dataclass(frozen=True)
class Drawn:
    """One study. `effects` are the true effects of its claims by name, in the unit of the metric;
    of a claim on the best of a family, the names of the conditions that truly are. With `looks` it
    is looked at while it grows, until its primary claim is decided. `validation` has errors like
    `errors`, `about` more entries of conditions; the predictions of the claims named in `blind`
    rest on nothing."""

    errors: Errors
    claims: ClaimsConfig
    effects: Mapping[str, float | frozenset[str]]
    teachers: Sequence[Mapping[str, Any]] = field(default=())
    label_noise: float = 0.0
    looks: Sequence[int] | str | None = None
    validation: Errors = field(default_factory=dict)
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    blind: frozenset[str] = frozenset()

    @property
    def replicates(self) -> int:
        """How many there are in the end."""
        return len(next(iter(self.errors.values())))

    def results(self, first: int | None = None) -> dict[str, Any]:
        """The results document that such a study would have, after its `first` replicates."""
        count = self.replicates if first is None else first
        varied = {"vary": ["split", "noise", "teacher"], "count": count}
        looks = {} if self.looks is None else {"looks": self.looks}
        conditions, runs = [], []
        for name, values in self.errors.items():
            group, _, teacher = name.partition("/")
            conditions.append({
                "name": name, "group": group, "teacher": teacher or None, "student": "plain-8-8-8",
                "loss": "KD" if teacher else "CE", "epochs": 120, "decays": [36, 72, 96],
                **self.about.get(name, {}),
            })  # fmt: skip
            seen = self.validation.get(name, values)
            runs += [
                {
                    "key": f"r{r}/{name}/s{s}", "condition": name, "role": "student",
                    "replicate": r, "seed": s, "test_error": None if np.isnan(value) else value,
                    "val_error": None if np.isnan(value) else seen[r, s],
                    "status": "diverged" if np.isnan(value) else "done",
                }
                for (r, s), value in np.ndenumerate(values[:count])
            ]  # fmt: skip
        return {
            "study": {
                "config": {"replicates": varied | looks},
                "data": {"classes": 10, "label_noise": self.label_noise},
            },
            "conditions": conditions,
            "teachers": list(self.teachers),
            "runs": runs,
        }


Rule = Callable[[np.random.Generator, int], Drawn]
"""How a study of so many replicates is drawn."""


def teacher(name: str, replicates: int, **about: Any) -> dict[str, Any]:
    """A fully trained teacher's entry in a results document; `about` says what differs."""
    errors = about.pop("val_errors", np.full(replicates, 10.0))
    return {
        "name": name, "model": name, "parameters": 1000, "stop": "full", "scaled": None,
        "taught_by": None, "made_of": None,
        "replicates": [{"replicate": r, "val_error": float(e), "test_error": float(e)}
                       for r, e in enumerate(errors)],
    } | about  # fmt: skip


def is_false(
    claim: ClaimConfig, finding: Finding, truth: float | frozenset[str], *, blind: bool = False
) -> bool:
    """Whether a finding says what is not so. An effect of exactly zero is none in any direction,
    and one of exactly the margin is not less than it, and not more. That a `blind` selector finds
    the best is never so."""
    if finding.verdict not in ("supported", "refuted"):
        return False
    supported = finding.verdict == "supported"
    if blind and supported:
        return True
    if isinstance(truth, frozenset):
        assert claim.best is not None
        order = list(claim.best.of)
        ends = bool({order[0], order[-1]} & truth)
        inside = bool(set(order[1:-1]) & truth)
        return ends if supported else inside
    margin = claim.margin or 0.0
    if claim.kind == "equivalence":
        return abs(truth) >= margin if supported else abs(truth) <= margin
    if claim.kind in ("non_inferiority", "prediction"):
        return truth >= margin if supported else truth <= margin
    towards = truth if claim.direction in ("greater", "increasing") else -truth
    return towards <= 0.0 if supported else towards >= margin


def covers(finding: Finding, truth: float | frozenset[str]) -> bool | None:
    """Whether the interval holds the truth, or the set of the best the first that is; None where
    there is none, or one of 90 % by intent."""
    if isinstance(truth, frozenset):
        return None if finding.among is None else min(truth) in finding.among
    of_90 = finding.kind == "equivalence" and finding.rank == "primary"
    if finding.low is None or finding.high is None or of_90:
        return None
    return finding.low <= truth <= finding.high


def wrong_sign(finding: Finding, truth: float | frozenset[str]) -> bool:
    """Whether the whole interval lies on the other side of zero than the truth."""
    if isinstance(truth, frozenset) or finding.low is None or finding.high is None:
        return False
    return (truth > 0.0 > finding.high) or (truth < 0.0 < finding.low)
