"""A claim with its names resolved in a results document: what it measures, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.config.metrics import canonical_metric, unit_of
from tutelage.config.schema import ClaimConfig
from tutelage.findings import verdicts
from tutelage.findings.finding import Verdict
from tutelage.findings.intervals import Estimate
from tutelage.findings.pairing import (
    Diverged,
    Results,
    Sample,
    differences,
    family,
    slopes,
    teachers_vary,
)

FEW = 6  # replicates below which a finding speaks of the study's own teachers only
_MORE_IS_BETTER = ("train_agreement", "test_agreement")
_PER = {"teacher_parameters": "per doubling", "teacher_error": "per point"}


@dataclass(frozen=True)
class Claim:
    """A claim, the full name of its metric, and its conditions: a pair, or a trend's family.

    `teachers_vary` is False where all replicates have the same teachers.
    """

    config: ClaimConfig
    metric: str
    conditions: list[str]
    teachers_vary: bool = True

    @property
    def level(self) -> float:
        """The confidence level of its interval."""
        return verdicts.LEVELS[self.config.kind]

    @property
    def unit(self) -> str:
        """The unit of its effect: the metric's, or that per unit of what a trend is over."""
        unit, trend = unit_of(self.metric), self.config.trend
        return f"{unit} {_PER[trend.over]}".lstrip() if trend else unit

    def scope(self, n: int) -> str:
        """How a sentence begins that n replicates allow to speak of these teachers alone."""
        return "" if n >= FEW and self.teachers_vary else "For these teachers, "

    def sample(self, results: Results, diverged: Diverged) -> Sample[float]:
        """The difference or slope of every replicate."""
        if self.config.trend is not None:
            return slopes(results, self.metric, self.conditions, self.config.trend.over, diverged)
        first, second = self.conditions
        return differences(results, self.metric, first, second, diverged)

    def verdict(self, found: Estimate) -> Verdict:
        """The verdict of its kind; undecided where there is no interval."""
        low, high, config = found.low, found.high, self.config
        if low is None or high is None:
            return "undecided"
        if config.kind == "equivalence":
            return verdicts.equivalence(low, high, config.margin)
        if config.kind == "non_inferiority":
            worse = self.metric not in _MORE_IS_BETTER
            return verdicts.non_inferiority(low, high, config.margin, more_is_worse=worse)
        assert config.direction is not None  # the schema asks for it
        judge = verdicts.trend if config.kind == "trend" else verdicts.difference
        return judge(low, high, config.direction, config.margin)


def resolve(results: Results, config: ClaimConfig) -> Claim:
    """The claim in the study of `results`. Raises UserError for an unknown metric."""
    if config.trend is not None:
        metric, conditions = config.trend.of, family(results, config.trend.within)
    else:
        metric = config.metric
        conditions = config.difference or config.non_inferiority or config.equivalence or []
    unit_of(metric)
    return Claim(config, canonical_metric(metric), conditions, teachers_vary(results))
