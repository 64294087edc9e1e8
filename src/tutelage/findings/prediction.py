"""Does what is known of the teachers before students are trained find the best student?

For every replicate a selector has a value of each condition's teacher, and the students of each
condition have a test error. Two figures: Spearman's rank correlation (1904, Am. J. Psychol. 15) of
values and errors over the conditions; and the regret, the error of the condition that the selector
chooses minus that of the oracle's.

The oracle is what one would choose who had trained half of the students: the condition of least
test error on one half of a replicate's student seeds, scored on the other, as is the selector's
choice; both halves in turn, averaged. (Chosen and scored on the same students, the best of k
conditions seems better than it is, and every selector worse.) Where no replicate has two students,
halves of the replicates take the place of halves of the seeds. What ties is chosen in equal shares.
Half of the students may miss the truly best condition, so the regret can be below zero, and in
expectation is not more than that against the truly best one; `hindsight`, against the least error
on all students of the replicate, is in expectation not less.

The t interval over replicates is about the choices made in them, of the teachers there. A selector
that chooses otherwise in some replicates has regrets of which a few are large, and few replicates
may have seen none of them; as an interval for other teachers too, that of a selector of pure noise
was too low in up to 17 % of simulated studies instead of 2.5 %. So the sentence says "for these
teachers", except of parameters, which are the same in every replicate; and support takes more: less
regret than choices at random have, by a permutation test that shuffles the selector's values within
replicates. A selector of noise passes that with the nominal chance at most, however errors are
distributed.

The verdict rests on the regret in points. Its share of what the oracle gains over scratch,

    (error(choice) - error(oracle)) / (error(scratch) - error(oracle)),

has a denominator that may be zero or negative, where no teacher helps: as a ratio of each replicate
it has no mean worth the name, and a small one makes any regret look large. So it is a description:
a ratio of means with Fieller's interval (1954, J. R. Stat. Soc. B 16), given only where the gain is
above zero beyond chance, which is where that interval is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tutelage.config.schema_claims import PredictionConfig
from tutelage.findings.intervals import Estimate, estimate, t_quantile
from tutelage.findings.pairing import Diverged, Results, Sample, seed_tables
from tutelage.findings.selectors import selector_values

Halves = Literal["students", "replicates"]
METRIC = "test_error"
DRAWS = 9999
_TIE = 1e-9  # points: what differs by rounding alone is no less regret


@dataclass(frozen=True)
class Prediction(Estimate):
    """The regret of a selector, in points, as an estimate over replicates.

    `correlation` is that of ranks (1: the better the selector's value, the less the error), over
    the replicates in which it is defined: those where neither values nor errors all tie. `gain` is
    the scratch error minus the oracle's (n = 0 without scratch runs), and `share` the regret's part
    of it, of which the effect is None unless the gain is above zero beyond chance. `chosen` says in
    how many replicates each condition was chosen; conditions that tie share one. `chance` is the
    chance that a selector of noise has no more regret; None for n = 0.
    """

    correlation: Estimate = field(default_factory=lambda: Estimate(0, 0.95))
    gain: Estimate = field(default_factory=lambda: Estimate(0, 0.95))
    share: Estimate = field(default_factory=lambda: Estimate(0, 0.95))
    hindsight: float | None = None
    chance: float | None = None
    halves: Halves = "students"
    chosen: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What a finding keeps of it beside the regret, as plain values."""
        figures = {"correlation": self.correlation, "gain": self.gain, "share": self.share}
        return {
            **{
                name: {"effect": e.effect, "low": e.low, "high": e.high, "n": e.n}
                for name, e in figures.items()
            },
            "hindsight": self.hindsight,
            "chance": self.chance,
            "halves": self.halves,
            "chosen": self.chosen,
        }


def predict(
    results: Results,
    config: PredictionConfig,
    conditions: Sequence[str],
    diverged: Diverged,
    level: float,
) -> tuple[Sample[float], Prediction]:
    """The regret of every replicate, and what they come to with intervals of `level`."""
    sample, values = _known(results, config, conditions, diverged)
    apart, halves = regrets(sample.values, len(conditions))
    choices = {r: best(values[r]) for r in apart}
    regret = {r: float(choices[r] @ apart[r]) for r in apart}
    means = {r: sample.values[r].mean(axis=0) for r in apart}
    ranked = [correlation(values[r], means[r]) for r in apart]
    found = estimate(list(regret.values()), level)
    gain, share = _share(results, config, conditions, diverged, level)
    after = [float(choices[r] @ means[r] - means[r].min()) for r in apart]
    prediction = Prediction(
        found.n, level, found.effect, found.low, found.high, found.spread,
        correlation=estimate([value for value in ranked if value is not None], level),
        gain=gain,
        share=share,
        hindsight=float(np.mean(after)) if after else None,
        chance=chance([choices[r] for r in apart], list(apart.values())) if apart else None,
        halves=halves,
        chosen={
            name: round(float(sum(choice[i] for choice in choices.values())), 6)
            for i, name in enumerate(conditions)
        },
    )  # fmt: skip
    return Sample(regret, sample.replicates, sample.missing, sample.diverged), prediction


def _known(
    results: Results,
    config: PredictionConfig,
    conditions: Sequence[str],
    diverged: Diverged,
    control: Sequence[str] = (),
) -> tuple[Sample[np.ndarray], dict[int, np.ndarray]]:
    """The tables of errors [seeds, conditions and control] and the selector's values [conditions]
    of the replicates that have both."""
    sample = seed_tables(results, METRIC, [*conditions, *control], diverged)
    found = {r: selector_values(results, config, conditions, r) for r in sample.values}
    values = {r: value for r, value in found.items() if value is not None}
    tables = {r: table for r, table in sample.values.items() if r in values}
    return Sample(tables, sample.replicates, sample.missing, sample.diverged), values


def _share(
    results: Results,
    config: PredictionConfig,
    conditions: Sequence[str],
    diverged: Diverged,
    level: float,
) -> tuple[Estimate, Estimate]:
    """The gain of the oracle over scratch, and the regret's share of it."""
    control = scratch_of(results, conditions)
    if control is None:
        return Estimate(0, level), Estimate(0, level)
    sample, values = _known(results, config, conditions, diverged, [control])
    apart = regrets(sample.values, len(conditions))[0]
    gains = [float(row[-1]) for row in apart.values()]
    regret = [float(best(values[r]) @ row[:-1]) for r, row in apart.items()]
    return estimate(gains, level), fieller(regret, gains, level)


def scratch_of(results: Results, conditions: Sequence[str]) -> str | None:
    """The condition without a teacher of the same student: `scratch` if there is one of that name,
    else the first; None where there is none."""
    entries = {condition["name"]: condition for condition in results["conditions"]}
    student = entries[conditions[0]]["student"]
    alone = [n for n, c in entries.items() if c["teacher"] is None and c["student"] == student]
    return "scratch" if "scratch" in alone else next(iter(alone), None)


def regrets(tables: Mapping[int, np.ndarray], k: int) -> tuple[dict[int, np.ndarray], Halves]:
    """By how much each column is worse than the oracle, for every replicate that can be halved, and
    what was halved.

    `tables` holds errors [seeds, k or more] by replicate; the oracle is among the first k columns.
    """
    folds, halves = _folds(tables)
    found = {
        replicate: np.mean([scored - best(by[:k]) @ scored[:k] for by, scored in pairs], axis=0)
        for replicate, pairs in folds.items()
    }
    return found, halves


def chance(choices: Sequence[np.ndarray], apart: Sequence[np.ndarray]) -> float:
    """The chance that shuffled choices have no more regret than these: a permutation test.

    `choices` are weights [k], one of each replicate, `apart` the regret [k] of each condition. The
    choices made are one of the DRAWS + 1 shuffles, so that the test is exact for any number of them
    (Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9).
    """
    weights, worse = np.array(choices), np.array(apart)
    generator = np.random.default_rng(0)
    shuffled = generator.permuted(np.tile(weights, (DRAWS, 1, 1)), axis=2)
    drawn = np.einsum("drk,rk->d", shuffled, worse)
    seen = np.einsum("rk,rk->", weights, worse)
    return float((1 + np.sum(drawn <= seen + _TIE)) / (DRAWS + 1))


Fold = tuple[np.ndarray, np.ndarray]  # errors to choose the oracle by, and errors to score on


def _folds(tables: Mapping[int, np.ndarray]) -> tuple[dict[int, list[Fold]], Halves]:
    """For each replicate what the oracle is chosen by and what is scored, in turn.

    Every second seed, in the order of the seeds, is one half. A replicate with a single seed is
    left out where others have more; where none has, every second replicate is one half.
    """
    if any(len(table) > 1 for table in tables.values()):
        folds = {}
        for replicate, table in tables.items():
            if len(table) > 1:
                first, second = table[0::2].mean(axis=0), table[1::2].mean(axis=0)
                folds[replicate] = [(first, second), (second, first)]
        return folds, "students"
    places = sorted(tables)
    if len(places) < 2:
        return {}, "replicates"
    rows = {replicate: tables[replicate].mean(axis=0) for replicate in places}
    means = [np.mean([rows[r] for r in places[half::2]], axis=0) for half in (0, 1)]
    return {r: [(means[1 - i % 2], rows[r])] for i, r in enumerate(places)}, "replicates"


def best(values: np.ndarray) -> np.ndarray:
    """Weights [k] of a choice of the least value: equal shares of those that tie."""
    least = values == values.min()
    return least / least.sum()


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation of two rows [k], ties at their mean rank; None where one of them
    ties as a whole."""
    x, y = _ranks(first), _ranks(second)
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale else None


def _ranks(values: np.ndarray) -> np.ndarray:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[group]


def fieller(above: Sequence[float], below: Sequence[float], level: float) -> Estimate:
    """mean(above) / mean(below) with its interval, from paired values of replicates (Fieller 1954).

    All ratios R are in it for which a t interval of above - R below holds zero. The effect is None
    unless the mean of `below` is above zero beyond chance, for otherwise that is no interval.
    """
    n = len(above)
    if n < 2 or level >= 1.0:
        return Estimate(n, level)
    up, down = float(np.mean(above)), float(np.mean(below))
    spread = np.cov(above, below, ddof=1) * float(t_quantile(level, n)) ** 2 / n
    square = down * down - float(spread[1, 1])
    if down <= 0.0 or square <= 0.0:
        return Estimate(n, level)
    middle = up * down - float(spread[0, 1])
    rest = up * up - float(spread[0, 0])
    half = math.sqrt(max(middle * middle - square * rest, 0.0))
    return Estimate(n, level, up / down, (middle - half) / square, (middle + half) / square)
