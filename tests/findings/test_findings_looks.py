"""Looks: bounds as published, errors kept however often one looks, and the method that fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tutelage.findings.best import excess
from tutelage.findings.looks import (
    Look,
    _open_error,
    declared,
    look_error,
    spending_bounds,
    spent,
)

STUDIES, MOST = 20_000, 48


def drawn(kind: str, seed: int, studies: int = STUDIES, most: int = MOST) -> np.ndarray:
    """Replicate values [studies, most] without an effect."""
    rng = np.random.default_rng(seed)
    return {
        "normal": lambda: rng.normal(0.0, 1.0, (studies, most)),
        "heavy": lambda: rng.standard_t(5, (studies, most)),
    }[kind]()


def ends(values: np.ndarray, n: int, error: float) -> tuple[np.ndarray, np.ndarray]:
    part = values[:, :n]
    if error == 0.0:
        return np.full(len(values), -np.inf), np.full(len(values), np.inf)
    half = stats.t.ppf(1 - error, n - 1) * part.std(1, ddof=1) / math.sqrt(n)
    return part.mean(1) - half, part.mean(1) + half


def test_bounds_are_those_of_the_literature() -> None:
    """Lan & DeMets' spending for two sides of 2.5 %, four and five equal looks."""
    four = spending_bounds(0.025, (0.25, 0.5, 0.75, 1.0))
    assert four == pytest.approx((4.333, 2.963, 2.359, 2.014), abs=1e-3)
    five = spending_bounds(0.025, (0.2, 0.4, 0.6, 0.8, 1.0))
    assert five == pytest.approx((4.877, 3.357, 2.680, 2.290, 2.031), abs=1.5e-3)


def test_a_single_look_spends_all() -> None:
    assert spending_bounds(0.025, (1.0,)) == pytest.approx((stats.norm.ppf(0.975),))
    assert spent(0.025, 1.0) == pytest.approx(0.025)
    assert look_error(0.025, 12, [12]) == pytest.approx(0.025)


def test_what_is_spent_is_what_crosses() -> None:
    """Brownian motion itself, of 400,000 paths."""
    times = (0.25, 0.5, 0.75, 1.0)
    bounds = spending_bounds(0.025, times)
    steps = np.random.default_rng(0).normal(0.0, 0.5, (400_000, 4))
    z = steps.cumsum(1) / np.sqrt(times)
    crossed = np.logical_or.accumulate(z > bounds, axis=1).mean(0)
    assert crossed == pytest.approx([spent(0.025, t) for t in times], abs=1e-3)


@pytest.mark.parametrize("kind", ["normal", "heavy"])
@pytest.mark.parametrize("looks", [[6, 12, 18, 24], [3, 6, 9, 12], [12, 24, 36, 48]])
def test_declared_looks_find_nothing_false_in_more_than_6_percent(kind, looks) -> None:
    values = drawn(kind, looks[0])
    ever = np.zeros(STUDIES, dtype=bool)
    for n in looks:
        low, high = ends(values, n, look_error(0.025, n, looks))
        ever |= (low > 0.0) | (high < 0.0)
    assert 0.03 <= ever.mean() <= 0.06


@pytest.mark.parametrize("kind", ["normal", "heavy"])
def test_open_looks_find_nothing_false_in_more_than_5_percent(kind) -> None:
    values = drawn(kind, 1)
    ever = np.zeros(STUDIES, dtype=bool)
    for n in range(2, MOST + 1):
        low, high = ends(values, n, look_error(0.025, n, "open"))
        ever |= (low > 0.0) | (high < 0.0)
    assert 0.005 <= ever.mean() <= 0.053


def test_a_t_interval_at_each_look_is_the_method_that_fails() -> None:
    values = drawn("normal", 2)
    ever = np.zeros(STUDIES, dtype=bool)
    for n in range(5, MOST + 1):
        low, high = ends(values, n, 0.025)
        ever |= (low > 0.0) | (high < 0.0)
    assert ever.mean() > 0.2


def test_the_confidence_sequence_holds_the_mean_at_all_times() -> None:
    values = drawn("normal", 3) * 3.0 + 0.7
    held = np.ones(STUDIES, dtype=bool)
    for n in range(2, MOST + 1):
        low, high = ends(values, n, look_error(0.025, n, "open"))
        held &= (low <= 0.7) & (high >= 0.7)
    assert held.mean() >= 0.947


def test_the_likelihood_ratio_is_that_of_a_normal_mixture_of_noncentral_t() -> None:
    """By integrating noncentral t densities over the effects, at the t where the interval ends."""
    n, error = 9, 0.025
    t = stats.t.isf(_open_error(error, n), n - 1)
    effects = np.linspace(-8, 8, 4001)
    densities = stats.nct.pdf(t, n - 1, effects * math.sqrt(n))
    mixed = np.trapezoid(densities * stats.norm.pdf(effects), effects)
    assert mixed / stats.t.pdf(t, n - 1) == pytest.approx(1 / (2 * error), rel=1e-4)


def test_little_is_lost_to_looking_four_times() -> None:
    """With a true effect of 80 % power at 24 replicates in one look, four looks keep 77 % or more,
    and end after fewer replicates on average."""
    effect = 0.6
    values = np.random.default_rng(4).normal(effect, 1.0, (STUDIES, 24))
    low, _ = ends(values, 24, 0.025)
    once = (low > 0.0).mean()
    looks, ended = [6, 12, 18, 24], np.full(STUDIES, 24)
    found = np.zeros(STUDIES, dtype=bool)
    for n in looks:
        low, _ = ends(values, n, look_error(0.025, n, looks))
        ended = np.where(~found & (low > 0.0), n, ended)
        found |= low > 0.0
    assert found.mean() > once - 0.03
    assert ended.mean() < 20.5


@pytest.mark.parametrize("comparisons", [2, 4, 9])
def test_a_divided_error_is_spent_in_parts(comparisons) -> None:
    """Of a confidence set of the best each comparison spends its own part; dividing what a look may
    spend of the whole would spend more, up to 5.4 % of 5 (shown with Brownian motion)."""
    looks, times = [6, 12, 18, 24], np.array((0.25, 0.5, 0.75, 1.0))
    z = np.random.default_rng(5).normal(0.0, 0.5, (1_000_000, 4)).cumsum(1) / np.sqrt(times)
    errors = [Look(n, looks).error(0.05, comparisons) / comparisons for n in looks]
    spends = (z > stats.norm.isf(errors)).any(1).mean() * comparisons
    whole = [Look(n, looks).error(0.05) / comparisons for n in looks]
    assert spends == pytest.approx(0.05, abs=0.0015)
    assert (z > stats.norm.isf(whole)).any(1).mean() * comparisons > 1.01 * spends


@pytest.mark.parametrize("looks", [[6, 12, 18, 24], "open"])
def test_the_best_of_three_is_left_out_in_no_more_than_5_percent(looks) -> None:
    rows = np.random.default_rng(6).normal(0.0, 1.0, (20_000, 24, 3))
    gone = np.zeros(len(rows), dtype=bool)
    for n in range(4, 25) if looks == "open" else looks:
        error = Look(n, looks).error(0.05, comparisons=2)
        if error > 0.0:
            gone |= excess(rows[:, :n], error)[:, 0] > 0.0
    assert 0.01 <= gone.mean() <= 0.055


@pytest.mark.parametrize("kind", ["normal", "heavy"])
def test_repeated_intervals_hold_the_mean_at_all_looks_together(kind) -> None:
    values = drawn(kind, 7, most=24) * 2.0 - 0.4
    held = np.ones(STUDIES, dtype=bool)
    for n in (6, 12, 18, 24):
        low, high = ends(values, n, look_error(0.025, n, [6, 12, 18, 24]))
        held &= (low <= -0.4) & (high >= -0.4)
    assert 0.94 <= held.mean() <= 0.97


def test_two_ways_of_looking_are_wrong_more_often_than_either() -> None:
    """What a finding says of having been judged before: looks to 12 that decided nothing, then new
    ones to 24, each at 5 %."""
    values = drawn("normal", 8, most=24)
    wrong = []
    for looks in ([6, 8, 10, 12], [6, 12, 18, 24]):
        ever = np.zeros(STUDIES, dtype=bool)
        for n in looks:
            low, high = ends(values, n, look_error(0.025, n, looks))
            ever |= (low > 0.0) | (high < 0.0)
        wrong.append(ever)
    assert max(each.mean() for each in wrong) < 0.06
    assert 0.075 <= (wrong[0] | wrong[1]).mean() <= 0.1


def test_looks_are_spread_evenly() -> None:
    assert declared(6, 24) == [6, 12, 18, 24]
    assert declared(4, 5) == [4, 5]
    assert declared(3, 3) == [3]
    for first, last in ((1, 8), (9, 8)):
        with pytest.raises(ValueError, match="no looks"):
            declared(first, last)


def test_a_number_of_replicates_that_was_not_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="none of the declared looks"):
        look_error(0.025, 7, [6, 12])
