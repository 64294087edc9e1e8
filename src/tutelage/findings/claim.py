"""A claim with its names resolved in a results document: what it measures, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.config.metrics import canonical_metric, unit_of
from tutelage.config.schema import ClaimConfig
from tutelage.findings import verdicts
from tutelage.findings.finding import Verdict
from tutelage.findings.intervals import Estimate
from tutelage.findings.multiplicity import Terms, alone
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
    def error(self) -> float:
        """The chance of each false verdict where it is judged alone."""
        return verdicts.ERRORS[self.config.kind]

    @property
    def level(self) -> float:
        """The confidence level of its interval where it is judged alone."""
        return self.level_at(self.error)

    def level_at(self, error: float) -> float:
        """The level of the interval of which each end is wrong with a chance of `error`."""
        return 1.0 - 2.0 * error

    @property
    def unit(self) -> str:
        """The unit of its effect: the metric's, or that per unit of what a trend is over."""
        unit, trend = unit_of(self.metric), self.config.trend
        return f"{unit} {_PER[trend.over]}".lstrip() if trend else unit

    @property
    def more_is_worse(self) -> bool:
        """Whether a larger value of its metric is the worse one."""
        return self.metric not in _MORE_IS_BETTER

    def scope(self, n: int) -> str:
        """How a sentence begins that n replicates allow to speak of these teachers alone."""
        return "" if n >= FEW and self.teachers_vary else "For these teachers, "

    def sample(self, results: Results, diverged: Diverged) -> Sample[float]:
        """The difference or slope of every replicate."""
        if self.config.trend is not None:
            return slopes(results, self.metric, self.conditions, self.config.trend.over, diverged)
        first, second = self.conditions
        return differences(results, self.metric, first, second, diverged)

    def nulls(self, found: Estimate, error: float) -> verdicts.Nulls:
        """Which nulls of its kind are rejected at that chance of a false verdict; neither where
        there is no interval."""
        at, config = found.at(self.level_at(error)), self.config
        low, high = at.low, at.high
        if low is None or high is None:
            return verdicts.Nulls(False, False)
        if config.kind == "equivalence":
            wide = found.at(1.0 - error)
            assert wide.low is not None
            assert wide.high is not None
            return verdicts.equivalence_nulls(low, high, config.margin, (wide.low, wide.high))
        if config.kind == "non_inferiority":
            return verdicts.non_inferiority_nulls(
                low, high, config.margin, more_is_worse=self.more_is_worse
            )
        assert config.direction is not None  # the schema asks for it
        return verdicts.difference_nulls(low, high, config.direction, config.margin)

    def verdict(self, found: Estimate, terms: Terms | None = None) -> Verdict:
        """The verdict of its kind on those terms; without any, as a claim that is judged alone."""
        terms = alone(self.error) if terms is None else terms
        if not terms.decides:
            return "none"
        supports = self.nulls(found, terms.support).supports
        refutes = self.nulls(found, terms.refute).refutes
        return verdicts.Nulls(supports, refutes).verdict


def resolve(results: Results, config: ClaimConfig) -> Claim:
    """The claim in the study of `results`. Raises UserError for an unknown metric."""
    if config.trend is not None:
        metric, conditions = config.trend.of, family(results, config.trend.within)
    else:
        metric = config.metric
        conditions = config.difference or config.non_inferiority or config.equivalence or []
    unit_of(metric)
    return Claim(config, canonical_metric(metric), conditions, teachers_vary(results))
