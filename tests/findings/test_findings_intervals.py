"""The t interval against scipy.stats, and the replicates that a margin needs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tutelage.findings.intervals import estimate, replicates_needed, t_interval, t_quantile


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 3, 6, 12, 50])
def test_interval_is_that_of_the_one_sample_t_test(n: int, level: float) -> None:
    values = np.random.default_rng(n).normal(-2.0, 3.0, n)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    found = estimate(list(values), level)
    assert found.n == n
    assert found.level == level
    assert found.effect == pytest.approx(values.mean(), rel=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-9)
    assert found.spread == pytest.approx(values.std(ddof=1), rel=1e-12)


def test_interval_of_differences_is_that_of_the_paired_t_test() -> None:
    a, b = np.random.default_rng(0).normal(10.0, 2.0, (2, 7))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    found = estimate(list(a - b))
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-9)


def test_closed_form_for_two_values() -> None:
    # t(0.975, 1) = tan(0.475 pi) = 12.7062; s / sqrt(2) = |a - b| / 2.
    found = estimate([1.0, 3.0])
    half = math.tan(0.475 * math.pi)
    assert (found.low, found.high) == pytest.approx((2.0 - half, 2.0 + half), rel=1e-10)


def test_many_studies_at_once_are_what_each_is_alone() -> None:
    values = np.random.default_rng(1).normal(size=(4, 5, 6))
    mean, low, high = t_interval(values, 0.9)
    assert mean.shape == low.shape == high.shape == (4, 5)
    alone = estimate(list(values[2, 3]), 0.9)
    assert (mean[2, 3], low[2, 3], high[2, 3]) == (alone.effect, alone.low, alone.high)


def test_without_replicates_there_is_no_interval() -> None:
    none, one = estimate([]), estimate([1.5])
    assert (none.n, none.effect, none.low, none.spread) == (0, None, None, None)
    assert (one.n, one.effect, one.low, one.high, one.spread) == (1, 1.5, None, None, None)
    with pytest.raises(ValueError, match="at least 2 values, not 1"):
        t_interval([1.5])


def test_no_spread_gives_an_interval_of_no_width() -> None:
    found = estimate([-0.5, -0.5, -0.5])
    assert (found.effect, found.low, found.high) == (-0.5, -0.5, -0.5)


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("ratio", [0.01, 0.2, 0.7, 1.0, 2.0, 10.0, 77.0])
def test_replicates_needed_is_the_first_that_is_enough(ratio: float, level: float) -> None:
    n = np.arange(2, 50_000)
    half = stats.t.ppf(0.5 + level / 2, n - 1) * ratio * 0.3 / np.sqrt(n)
    expected = int(n[half <= 0.3][0])
    assert replicates_needed(ratio * 0.3, 0.3, level) == expected


def test_replicates_needed_at_the_extremes() -> None:
    assert replicates_needed(0.0, 0.1) == 2
    huge = replicates_needed(1.0, 1e-7)
    assert huge == pytest.approx((1.959964 / 1e-7) ** 2, rel=1e-4)
    for spread, margin in ((1.0, 0.0), (-1.0, 0.5), (math.nan, 0.5), (math.inf, 0.5)):
        with pytest.raises(ValueError, match="no number of replicates"):
            replicates_needed(spread, margin)


def test_quantile_agrees_with_scipy_stats() -> None:
    n = np.array([2, 3, 8, 1000])
    np.testing.assert_allclose(t_quantile(0.95, n), stats.t.ppf(0.975, n - 1), rtol=1e-10)
