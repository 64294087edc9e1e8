"""Replicates and test images as two kinds of units: mean squares, and intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tutelage.evaluation.two_way import MeanSquares
from tutelage.findings.intervals import Estimate, t_interval


def drawn(rng, replicates=6, images=120, of_replicates=0.3, of_images=6.0, rest=4.0) -> np.ndarray:
    """A table of true mean zero, with independent parts for replicates, images, and the rest."""
    return (
        rng.normal(0.0, of_replicates, (replicates, 1))
        + rng.normal(0.0, of_images, (1, images))
        + rng.normal(0.0, rest, (replicates, images))
    )


def interval(table: np.ndarray) -> Estimate:
    squares = MeanSquares.of(table)
    plain = Estimate(
        squares.replicates, 0.95, squares.mean, spread=float(table.mean(1).std(ddof=1)),
        images=squares.image_variance, freedom=squares.freedom,
    )  # fmt: skip
    return plain.at(0.95)


def test_the_sums_of_squares_add_up() -> None:
    table = np.random.default_rng(1).normal(2.0, 3.0, (4, 9))
    found = MeanSquares.of(table)
    total = ((table - table.mean()) ** 2).sum()
    parts = 3 * found.of_replicates + 8 * found.of_images + 24 * found.of_rest
    assert parts == pytest.approx(total)
    assert found.mean == pytest.approx(table.mean())
    assert found.of_replicates == pytest.approx(9 * table.mean(1).var(ddof=1))


def test_expected_mean_squares_are_those_of_the_parts() -> None:
    """E(MS_r) = rest + I replicates, E(MS_i) = rest + R images, E(MS_e) = rest, as variances."""
    rng = np.random.default_rng(2)
    found = [MeanSquares.of(drawn(rng)) for _ in range(3000)]
    means = {key: np.mean([getattr(f, key) for f in found])
             for key in ("of_replicates", "of_images", "of_rest")}  # fmt: skip
    assert means["of_rest"] == pytest.approx(16.0, rel=0.01)
    assert means["of_images"] == pytest.approx(16.0 + 6 * 36.0, rel=0.01)
    assert means["of_replicates"] == pytest.approx(16.0 + 120 * 0.09, rel=0.03)
    assert np.mean([f.image_variance for f in found]) == pytest.approx(36.0 / 120, rel=0.01)


def test_the_interval_holds_the_truth_on_new_images_and_the_t_interval_alone_does_not() -> None:
    rng = np.random.default_rng(3)
    both = alone = 0
    for _ in range(3000):
        table = drawn(rng)
        found = interval(table)
        assert found.low is not None
        assert found.high is not None
        both += found.low <= 0.0 <= found.high
        _, low, high = t_interval(table.mean(1))
        alone += bool(low <= 0.0 <= high)
    assert 0.935 <= both / 3000 <= 0.975
    assert alone / 3000 < 0.85


def test_where_images_add_nothing_it_is_the_t_interval() -> None:
    rng = np.random.default_rng(4)
    table = rng.normal(0.0, 1.0, (5, 1)) + rng.normal(0.0, 1.0, (5, 40))
    table -= table.mean(0) - table.mean()  # every image has the same mean
    found, squares = interval(table), MeanSquares.of(table)
    assert (squares.image_variance, squares.freedom) == (0.0, 4.0)
    mean, low, high = t_interval(table.mean(1))
    assert (found.effect, found.low, found.high) == pytest.approx((mean, low, high))


def test_the_degrees_of_freedom_lie_between_those_of_the_parts() -> None:
    squares = MeanSquares.of(drawn(np.random.default_rng(5)))
    assert 5.0 <= squares.freedom <= 5.0 + 119.0
    half = stats.t.ppf(0.975, squares.freedom) * math.sqrt(
        squares.of_replicates / (6 * 120) + squares.image_variance
    )
    found = interval(drawn(np.random.default_rng(5)))
    assert found.high is not None
    assert found.effect is not None
    assert found.high - found.effect == pytest.approx(half)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_a_single_replicate_or_image_is_refused(shape) -> None:
    with pytest.raises(ValueError, match="two of each"):
        MeanSquares.of(np.zeros(shape))


def test_it_goes_through_the_results_document() -> None:
    squares = MeanSquares.of(drawn(np.random.default_rng(6)))
    assert MeanSquares.from_dict(squares.to_dict()) == squares
