"""Thousands of simulated studies: do the intervals cover, and are false verdicts as rare as said?

A study has replicates with their own teachers (standard deviation `TEACHER`), and students in each
(standard deviation `STUDENT`); the paired difference of two conditions is its true effect plus
both. Bounds on false verdicts are nominal plus 4 standard errors of a rate over 6,000 studies.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tutelage.config.schema import ClaimsConfig
from tutelage.findings import find
from tutelage.findings.intervals import replicates_needed, t_interval
from tutelage.findings.verdicts import difference, equivalence, non_inferiority, trend

STUDIES, STUDENTS = 6000, 3
TEACHER, STUDENT, MARGIN = 0.6, 0.8, 0.5
SIZES = np.array([10.0, 12.0, 15.0, 16.0])  # log2 of teacher parameters


def simulate(effect: float, replicates: int, seed: int) -> np.ndarray:
    """Paired differences [studies, replicates, students]."""
    rng = np.random.default_rng(seed)
    teachers = rng.normal(effect, TEACHER, (STUDIES, replicates, 1))
    return teachers + rng.normal(0.0, STUDENT, (STUDIES, replicates, STUDENTS))


def rates(
    values: np.ndarray, judge: Callable[[float, float], str], level: float = 0.95
) -> dict[str, float]:
    """The share of each verdict over studies [studies, replicates]."""
    _, low, high = t_interval(values, level)
    found = [judge(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    return {v: found.count(v) / len(found) for v in ("supported", "refuted", "undecided")}


def less(low: float, high: float) -> str:
    return difference(low, high, "less", MARGIN)


@pytest.mark.parametrize("replicates", [2, 3, 4, 6, 8, 12])
def test_coverage_of_the_difference(replicates: int) -> None:
    means = simulate(-0.7, replicates, seed=replicates).mean(axis=2)
    _, low, high = t_interval(means)
    assert 0.93 <= np.mean((low <= -0.7) & (high >= -0.7)) <= 0.97


@pytest.mark.parametrize("replicates", [3, 6, 12])
def test_a_difference_that_is_not_there_is_seldom_supported(replicates: int) -> None:
    found = rates(simulate(0.0, replicates, seed=20 + replicates).mean(axis=2), less)
    assert found["supported"] <= 0.033  # nominal 2.5 %: one side of a 95 % interval


@pytest.mark.parametrize("replicates", [3, 6, 12])
def test_a_difference_of_the_margin_is_seldom_refuted(replicates: int) -> None:
    found = rates(simulate(-MARGIN, replicates, seed=30 + replicates).mean(axis=2), less)
    assert found["refuted"] <= 0.033


@pytest.mark.parametrize("replicates", [3, 6, 12])
def test_non_inferiority_at_its_border(replicates: int) -> None:
    means = simulate(MARGIN, replicates, seed=40 + replicates).mean(axis=2)
    found = rates(means, lambda low, high: non_inferiority(low, high, MARGIN))
    assert found["supported"] <= 0.033
    assert found["refuted"] <= 0.033


@pytest.mark.parametrize("effect", [-MARGIN, MARGIN])
@pytest.mark.parametrize("replicates", [3, 6, 24])
def test_equivalence_at_its_border(replicates: int, effect: float) -> None:
    means = simulate(effect, replicates, seed=50 + replicates).mean(axis=2)
    found = rates(means, lambda low, high: equivalence(low, high, MARGIN), level=0.90)
    assert found["supported"] <= 0.062  # nominal 5 %, each of two one-sided tests
    assert found["refuted"] <= 0.062


def test_verdicts_are_reached_where_they_are_true() -> None:
    large = rates(simulate(-2.5, 8, seed=60).mean(axis=2), less)
    none = rates(simulate(0.0, 60, seed=61).mean(axis=2), less)
    same = rates(
        simulate(0.0, 60, seed=62).mean(axis=2),
        lambda low, high: equivalence(low, high, MARGIN), level=0.90,
    )  # fmt: skip
    assert large["supported"] > 0.99
    assert none["refuted"] > 0.95
    assert same["supported"] > 0.95


def test_trend() -> None:
    """Slopes cover, and a flat family is seldom called increasing."""
    rng = np.random.default_rng(70)
    centred = SIZES - SIZES.mean()
    noise = rng.normal(0.0, TEACHER, (STUDIES, 6, 1, 4))
    noise = noise + rng.normal(0.0, STUDENT, (STUDIES, 6, STUDENTS, 4))
    flat = noise.mean(axis=2) @ centred / (centred @ centred)
    _, low, high = t_interval(flat + 0.3)
    assert 0.93 <= np.mean((low <= 0.3) & (high >= 0.3)) <= 0.97
    found = rates(flat, lambda low, high: trend(low, high, "increasing", 0.3))
    assert found["supported"] <= 0.033


def test_students_as_units_is_the_method_that_fails() -> None:
    """Students of one teacher are no independent evidence: a nominal 5 % becomes 14 % here, and
    more with more students; with replicates as units it stays 5 %."""
    values = simulate(0.0, 4, seed=80)
    _, low, high = t_interval(values.reshape(STUDIES, -1))
    assert np.mean((low > 0.0) | (high < 0.0)) > 0.12
    _, low, high = t_interval(values.mean(axis=2))
    assert np.mean((low > 0.0) | (high < 0.0)) <= 0.062


def test_replicates_needed_is_what_half_of_the_studies_need() -> None:
    """With the true spread: at n most intervals are as narrow as the margin, with fewer not."""
    n = replicates_needed(float(np.hypot(TEACHER, STUDENT / np.sqrt(STUDENTS))), MARGIN)

    def narrow(replicates: int) -> float:
        _, low, high = t_interval(simulate(0.0, replicates, seed=90).mean(axis=2))
        return float(np.mean((high - low) / 2 <= MARGIN))

    assert n == 12
    assert narrow(n) > 0.5 > narrow(n - 2)


def test_find_says_what_the_simulation_computes(build, teacher) -> None:
    """The rows of some of these studies through `find`: the same numbers and verdicts."""
    rng = np.random.default_rng(100)
    config = ClaimsConfig.model_validate(
        {
            "primary": {
                "it": {"difference": ["kd/b", "kd/a"], "direction": "less", "margin": MARGIN}
            },
            "secondary": {"same": {"equivalence": ["kd/b", "kd/a"], "margin": MARGIN}},
        }
    )
    differences = simulate(-0.7, 5, seed=101)[:150]
    mean, low, high = t_interval(differences.mean(axis=2))
    _, low90, high90 = t_interval(differences.mean(axis=2), 0.90)
    wide = list(zip(low.tolist(), high.tolist(), strict=True))
    for study, values in enumerate(differences):
        base = rng.normal(10.0, 3.0, values.shape)  # common to both: pairing removes it
        results = build({"kd/a": base.tolist(), "kd/b": (base + values).tolist()})
        first, second = find(results, config)
        assert first.effect == pytest.approx(mean[study])
        assert (first.low, first.high) == pytest.approx((low[study], high[study]))
        assert first.verdict == less(low[study], high[study])
        assert second.verdict == equivalence(low90[study], high90[study], MARGIN, wide[study])
