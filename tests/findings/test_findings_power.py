"""Replicates for a power and for a width, against scipy.stats, closed forms and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tutelage.findings.intervals import replicates_needed, t_interval
from tutelage.findings.power import power, replicates_for_power, upper_spread


@pytest.mark.parametrize("n", [2, 3, 6, 12, 200])
def test_the_bound_of_a_spread_is_that_of_chi_square(n: int) -> None:
    expected = 0.7 * math.sqrt((n - 1) / stats.chi2.ppf(0.2, n - 1))
    assert upper_spread(0.7, n) == pytest.approx(expected, rel=1e-10)


def test_the_bound_of_a_spread_in_closed_form() -> None:
    # With 3 values chi-square is exponential of mean 2: its 20 % quantile is -2 ln 0.8.
    assert upper_spread(1.0, 3) == pytest.approx(math.sqrt(1.0 / -math.log(0.8)), rel=1e-12)
    assert upper_spread(0.0, 6) == 0.0
    with pytest.raises(ValueError, match="at least 2 values, not 1"):
        upper_spread(1.0, 1)


@pytest.mark.parametrize("n", [3, 6, 12])
def test_the_true_spread_is_below_its_bound_in_80_percent(n: int) -> None:
    values = np.random.default_rng(n).normal(0.0, 1.3, (20_000, n))
    bounds = values.std(axis=1, ddof=1) * upper_spread(1.0, n)
    assert np.mean(bounds >= 1.3) == pytest.approx(0.8, abs=0.012)


@pytest.mark.parametrize("error", [0.025, 0.05, 0.025 / 7])
@pytest.mark.parametrize("n", [2, 3, 6, 12, 60])
def test_power_is_that_of_the_noncentral_t(n: int, error: float) -> None:
    for effect in (0.0, 0.3, 1.0, 4.0):
        quantile = stats.t.ppf(1 - error, n - 1)
        expected = stats.nct.sf(quantile, n - 1, effect * math.sqrt(n) / 0.8)
        assert power(n, effect, 0.8, error) == pytest.approx(expected, abs=1e-8)


def test_power_without_an_effect_is_the_error() -> None:
    for n in (2, 5, 40):
        assert power(n, 0.0, 1.0, 0.025) == pytest.approx(0.025, abs=1e-9)
    assert power(5, 1e6, 1.0) == pytest.approx(1.0)
    for n, spread in ((1, 1.0), (5, 0.0), (5, math.nan)):
        with pytest.raises(ValueError, match="no power"):
            power(n, 1.0, spread)


def test_power_is_how_often_a_simulated_study_supports() -> None:
    for n, effect in ((6, 0.9), (12, 0.5), (4, 2.0)):
        values = np.random.default_rng(n).normal(effect, 0.8, (20_000, n))
        _, low, _ = t_interval(values)
        assert np.mean(low > 0.0) == pytest.approx(power(n, effect, 0.8), abs=0.015)


@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.9, 2.0, 7.0])
def test_replicates_for_power_are_the_first_that_are_enough(ratio: float) -> None:
    n = replicates_for_power(0.5, 0.5 * ratio)
    assert power(n, 0.5, 0.5 * ratio) >= 0.8
    assert n == 2 or power(n - 1, 0.5, 0.5 * ratio) < 0.8


def test_replicates_for_power_of_a_textbook() -> None:
    # Cohen (1988): a paired effect of half a standard deviation, 5 % two-sided, 80 %: 34 pairs.
    assert replicates_for_power(0.5, 1.0) == 34
    assert replicates_for_power(1.0, 1.0) == 10


def test_replicates_for_power_at_the_extremes() -> None:
    assert replicates_for_power(0.5, 0.0) == 2
    assert replicates_for_power(1e-7, 1.0) == pytest.approx((2.801585 / 1e-7) ** 2, rel=1e-5)
    below, above = replicates_for_power(0.0029, 1.0), replicates_for_power(0.0027, 1.0)
    assert 0.9e6 < below < 1e6 < above  # the noncentral t on one side, the normal on the other
    assert below * 0.0029**2 == pytest.approx(above * 0.0027**2, rel=1e-4)
    for effect, spread in ((0.0, 1.0), (0.5, -1.0), (0.5, math.inf), (0.5, math.nan)):
        with pytest.raises(ValueError, match="no number of replicates"):
            replicates_for_power(effect, spread)


def test_numbers_from_the_bound_are_enough_in_80_percent_of_pilots() -> None:
    """A pilot of 6 replicates names a number; in four of five cases it has the power promised,
    while the spread as observed promises too much in more than half."""
    truth = replicates_for_power(0.5, 0.8)
    pilots = np.random.default_rng(0).normal(0.0, 0.8, (400, 6)).std(axis=1, ddof=1)
    from_bound = [replicates_for_power(0.5, upper_spread(s, 6)) for s in pilots]
    from_spread = [replicates_for_power(0.5, float(s)) for s in pilots]
    assert np.mean(np.array(from_bound) >= truth) == pytest.approx(0.8, abs=0.07)
    assert np.mean(np.array(from_spread) >= truth) < 0.55


def test_a_width_from_the_bound_holds_in_80_percent_of_pilots() -> None:
    truth = replicates_needed(0.8, 0.5)
    pilots = np.random.default_rng(1).normal(0.0, 0.8, (400, 6)).std(axis=1, ddof=1)
    named = np.array([replicates_needed(upper_spread(s, 6), 0.5) for s in pilots])
    assert np.mean(named >= truth) == pytest.approx(0.8, abs=0.07)
