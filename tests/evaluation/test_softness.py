"""Entropy and variance of wrong classes, against scipy image by image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from tutelage.evaluation.softness import softness

Z = np.random.default_rng(0).normal(0.0, 3.0, (20, 5)).astype(np.float32)
Y = np.arange(20) % 5


@pytest.mark.parametrize("temperature", [1, 4, 0.5])
def test_softness_is_that_of_scipy_image_by_image(temperature) -> None:
    p = softmax(Z.astype(np.float64) / temperature, axis=1)
    found = softness(Z, Y, temperature)
    assert found["entropy"] == pytest.approx(np.mean([entropy(row) for row in p]))
    wrong = [np.delete(row, label) for row, label in zip(p, Y, strict=True)]
    assert found["variance"] == pytest.approx(np.mean([np.var(row) for row in wrong]))


def test_even_answers_are_softest_and_sure_ones_are_not_soft() -> None:
    assert softness(np.zeros((3, 4)), [0, 1, 2], 4) == {
        "entropy": pytest.approx(np.log(4)), "variance": 0.0,
    }  # fmt: skip
    sure = softness(np.eye(4) * 1e4, [0, 1, 2, 3], 1)
    assert (sure["entropy"], sure["variance"]) == (0.0, 0.0)
    # All that is wrong is on one of three wrong classes: 1/3 of (1 - 1/3)^2 + 2/3 of (1/3)^2.
    assert softness(np.eye(4)[:1] * 1e4, [1], 1)["variance"] == pytest.approx(2 / 9)


@pytest.mark.parametrize(
    ("logits", "labels", "temperature"),
    [
        (np.zeros((2, 3)), [0, 3], 1), (np.zeros((2, 3)), [0, -1], 1), (np.zeros((2, 3)), [0], 1),
        (np.zeros((2, 1)), [0, 0], 1), (np.zeros((2, 3)), [0, 1], 0.0),
        (np.full((2, 3), np.nan), [0, 1], 1), (np.zeros(3), [0], 1),
    ],
)  # fmt: skip
def test_what_has_no_softness_is_refused(logits, labels, temperature) -> None:
    with pytest.raises(ValueError, match=r"."):
        softness(logits, labels, temperature)
