"""How often the findings on drawn studies are false, cover the truth, and have the wrong sign."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from calibration.scenarios import Scenario
from calibration.studies import Drawn, covers, is_false, wrong_sign
from tutelage.findings import Finding, find, sentences


@dataclass
class Tally:
    """Counts over studies: those with any false verdict; those with intervals, and those of which
    all hold the truth; those with an interval on the wrong side of zero; those whose first claim is
    supported."""

    studies: int = 0
    false: int = 0
    covered: int = 0
    intervals: int = 0
    wrong_sign: int = 0
    supported: int = 0

    def add(self, study: Drawn) -> None:
        """Judges one study as `tutelage results` would, and counts what came of it."""
        self.studies += 1
        if "B" in study.effects:  # no claims, but the sentence on stopped teachers
            said = sentences(study.results())
            (verdict,) = (each["verdict"] for each in said if each["sentence"] == "B")
            self.false += verdict == "supported"
            self.supported += verdict == "supported"
            return
        found = _findings(study)
        ranked = study.claims.ranked()
        truths = [(ranked[f.rank][f.claim], f, study.effects[f.claim]) for f in found]
        self.false += any(is_false(*each, blind=each[1].claim in study.blind) for each in truths)
        held = [h for _, finding, truth in truths if (h := covers(finding, truth)) is not None]
        self.covered += bool(held) and all(held)
        self.intervals += bool(held)
        self.wrong_sign += any(wrong_sign(finding, truth) for _, finding, truth in truths)
        self.supported += found[0].verdict == "supported"

    def __iadd__(self, other: Tally) -> Tally:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self

    def rate(self, name: str) -> float | None:
        """A count as percent of the studies, `covered` of those with intervals; None of none."""
        of = self.intervals if name == "covered" else self.studies
        return 100.0 * getattr(self, name) / of if of else None


def _findings(study: Drawn) -> list[Finding]:
    """The findings at the look at which it ends."""
    if study.looks is None:
        return find(study.results(), study.claims)
    numbers = range(5, study.replicates + 1) if study.looks == "open" else study.looks
    found: list[Finding] = []
    for number in numbers:
        assert isinstance(number, int)
        found = find(study.results(number), study.claims)
        if found[0].verdict != "undecided":
            break
    return found


def measure(scenario: Scenario, n: int, studies: int, seed: Iterable[int]) -> Tally:
    """`studies` of a scenario with n replicates, the same for the same `seed`."""
    rng, tally = np.random.default_rng([*seed, n]), Tally()
    for _ in range(studies):
        tally.add(scenario.rule(rng, n))
    return tally
