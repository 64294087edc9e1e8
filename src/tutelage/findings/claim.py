"""A claim with its names resolved in a results document: what it measures, and how it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tutelage.config.metrics import canonical_metric, unit_of
from tutelage.config.schema import ClaimConfig
from tutelage.evaluation.two_way import MeanSquares
from tutelage.findings import verdicts
from tutelage.findings.best import Ranking, rank
from tutelage.findings.compute import against_tuned
from tutelage.findings.finding import Verdict
from tutelage.findings.intervals import Estimate, estimate
from tutelage.findings.multiplicity import Terms, alone
from tutelage.findings.pairing import (
    Diverged,
    Results,
    Sample,
    differences,
    family,
    interactions,
    of_teachers,
    order,
    ordered,
    replicate_means,
    slopes,
    teachers_vary,
)
from tutelage.findings.prediction import Prediction, predict
from tutelage.findings.selectors import CHOSEN_HERE
from tutelage.findings.settings import Settings, with_settings

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
        """The level of the interval of which each end is wrong with a chance of `error`, or of the
        set that leaves the best out with that chance."""
        return 1.0 - error if self.config.best else 1.0 - 2.0 * error

    def deciding_level(self, verdict: Verdict, terms: Terms) -> float:
        """The level of what decided; where nothing did, that at which the step-down ended."""
        if verdict == "refuted" and self.config.kind == "equivalence":
            return 1.0 - terms.refute
        errors = {"supported": terms.support, "refuted": terms.refute}
        return self.level_at(errors.get(verdict, max(terms.support, terms.refute)))

    @property
    def comparisons(self) -> int:
        """Among how many t tests an error is divided (Bonferroni)."""
        return max(len(self.conditions) - 1, 1) if self.config.best else 1

    @property
    def margin(self) -> float:
        """Its margin, 0 for a kind that takes none."""
        return self.config.margin or 0.0

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
        here = self.config.prediction is not None and self.config.prediction.by in CHOSEN_HERE
        return "" if n >= FEW and self.teachers_vary and not here else "For these teachers, "

    def measure(
        self, results: Results, diverged: Diverged, error: float
    ) -> tuple[Sample[Any], Estimate]:
        """What every replicate came to, and the estimate over them at `level_at(error)`."""
        level = self.level_at(error)
        if self.config.best is not None:
            means = replicate_means(results, self.metric, self.conditions, diverged)
            places = order(results, self.conditions, self.config.best.over)
            values, worse = list(means.values.values()), self.more_is_worse
            return means, rank(self.conditions, places, values, level, more_is_worse=worse)
        if self.config.prediction is not None:
            return predict(results, self.config.prediction, self.conditions, diverged, level)
        sample = self.sample(results, diverged)
        found = estimate(list(sample.values.values()), level)
        if self.config.also:
            return sample, with_settings(found, self._elsewhere(results, diverged, level))
        table = self.image_table(results)
        if table is None or table["squares"] is None or found.spread is None:
            return sample, found
        squares = MeanSquares.from_dict(table["squares"])
        if squares.replicates != found.n:  # diverged runs dropped: another table
            return sample, found
        both = replace(found, images=squares.image_variance, freedom=squares.freedom)
        return sample, both.at(level)

    def _elsewhere(
        self, results: Results, diverged: Diverged, level: float
    ) -> list[tuple[tuple[str, str], Estimate]]:
        """The estimates of the same comparison in its other settings."""
        found = []
        for first, second in self.config.also or []:
            sample = differences(results, self.metric, first, second, diverged)
            found.append(((first, second), estimate(list(sample.values.values()), level)))
        return found

    def image_table(self, results: Results) -> Mapping[str, Any] | None:
        """What the results document knows of its pair image by image; None for a claim on these
        images alone."""
        tables = results.get("images", []) if self.config.images == "new" else []
        return next((t for t in tables if t["conditions"] == self.conditions), None)

    def sample(self, results: Results, diverged: Diverged) -> Sample[float]:
        """The difference or slope of every replicate."""
        if self.config.trend is not None:
            return slopes(results, self.metric, self.conditions, self.config.trend.over, diverged)
        first, second = self.conditions
        if self.config.between is not None:
            return of_teachers(results, self.metric, first, second)
        if self.config.minus is not None:
            return interactions(
                results, self.metric, (first, second), tuple(self.config.minus), diverged
            )
        if self.config.account is not None:
            return against_tuned(results, first, second, self.config.account, diverged)
        return differences(results, self.metric, first, second, diverged)

    def nulls(self, found: Estimate, error: float) -> verdicts.Nulls:
        """Which nulls of its kind are rejected at that chance of a false verdict; neither where
        there is no interval."""
        if isinstance(found, Ranking):
            return found.nulls(error)
        if isinstance(found, Settings):
            if found.at(self.level_at(error)).signs_differ:
                return verdicts.Nulls(False, False)
            each = [self.nulls(one, error) for one in found.all]
            return verdicts.Nulls(all(n.supports for n in each), all(n.refutes for n in each))
        at = found.at(self.level_at(error))
        if at.low is None or at.high is None:
            return verdicts.Nulls(False, False)
        return self._nulls_between(found, at.low, at.high, error)

    def _nulls_between(
        self, found: Estimate, low: float, high: float, error: float
    ) -> verdicts.Nulls:
        """The same, of an interval from low to high."""
        config = self.config
        if config.kind == "equivalence":
            wide = found.at(1.0 - error)
            assert wide.low is not None
            assert wide.high is not None
            return verdicts.equivalence_nulls(low, high, self.margin, (wide.low, wide.high))
        if config.kind in ("non_inferiority", "prediction"):
            nulls = verdicts.non_inferiority_nulls(
                low, high, self.margin, more_is_worse=self.more_is_worse
            )
            lucky = isinstance(found, Prediction) and found.may_be_luck(error)
            return replace(nulls, supports=nulls.supports and not lucky)
        assert config.direction is not None  # the schema asks for it
        return verdicts.difference_nulls(low, high, config.direction, self.margin)

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
    elif config.best is not None:
        metric = config.metric
        conditions = ordered(results, config.best.of, config.best.over)
    elif config.prediction is not None:
        metric = config.metric
        conditions = ordered(results, config.prediction.of, "listed")
    else:
        metric = config.metric
        conditions = config.difference or config.non_inferiority or config.equivalence or []
    unit_of(metric)
    return Claim(config, canonical_metric(metric), conditions, teachers_vary(results))
