"""Each verdict on both sides of each border, and on it."""

from __future__ import annotations

import pytest

from tutelage.findings.verdicts import difference, equivalence, non_inferiority, trend

MARGIN = 0.5
UP = 1e-9  # a hair beyond a border


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.2, 0.8, "supported"),  # beyond zero, and the margin is within reach
        (0.0 + UP, MARGIN, "supported"),
        (0.6, 0.9, "supported"),
        (0.0, 0.8, "undecided"),  # zero is not excluded
        (-0.3, 0.8, "undecided"),
        (-0.3, MARGIN, "undecided"),  # the margin itself is not excluded
        (-0.3, MARGIN - UP, "refuted"),
        (0.1, 0.4, "refuted"),  # sure, and smaller than of interest
        (-0.9, -0.1, "refuted"),
        (-0.9, 0.0, "refuted"),
        (0.0, 0.0, "refuted"),
        (-5.0, 5.0, "undecided"),
    ],
)
def test_difference_and_trend(low: float, high: float, verdict: str) -> None:
    assert difference(low, high, "greater", MARGIN) == verdict
    assert difference(-high, -low, "less", MARGIN) == verdict
    assert trend(low, high, "increasing", MARGIN) == verdict
    assert trend(-high, -low, "decreasing", MARGIN) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-9.0, MARGIN - UP, "supported"),
        (0.1, 0.4, "supported"),
        (-2.0, -1.0, "supported"),
        (-9.0, MARGIN, "undecided"),
        (0.4, 0.6, "undecided"),
        (MARGIN, 2.0, "undecided"),
        (MARGIN + UP, 2.0, "refuted"),
        (1.0, 1.0, "refuted"),
    ],
)
def test_non_inferiority(low: float, high: float, verdict: str) -> None:
    assert non_inferiority(low, high, MARGIN) == verdict
    assert non_inferiority(-high, -low, MARGIN, more_is_worse=False) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.4, 0.4, "supported"),
        (-MARGIN + UP, MARGIN - UP, "supported"),
        (0.0, 0.0, "supported"),
        (0.1, 0.2, "supported"),
        (-0.4, MARGIN, "undecided"),
        (0.4, 0.9, "undecided"),
        (-2.0, 2.0, "undecided"),
        (MARGIN, 0.9, "undecided"),
        (MARGIN + UP, 0.9, "refuted"),
    ],
)
def test_equivalence(low: float, high: float, verdict: str) -> None:
    assert equivalence(low, high, MARGIN) == verdict
    assert equivalence(-high, -low, MARGIN) == verdict


def test_an_equivalence_is_refuted_by_the_wide_interval_and_supported_by_the_narrow_one() -> None:
    assert equivalence(0.6, 0.9, MARGIN, (0.6 - 0.1 + UP, 1.0)) == "refuted"
    assert equivalence(0.6, 0.9, MARGIN, (0.6 - 0.1, 1.0)) == "undecided"
    assert equivalence(-0.4, 0.4, MARGIN, (-0.6, 0.6)) == "supported"
