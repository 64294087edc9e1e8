"""What would change a finding, for every verdict of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tutelage.config.schema import ClaimsConfig
from tutelage.findings import Finding, find
from tutelage.findings.intervals import t_interval
from tutelage.findings.power import replicates_for_power, upper_spread

OFFSETS = np.array([-0.5, -0.25, 0.0, 0.25, 0.5, 0.0, -0.125, 0.125])
BOUND = upper_spread(float(OFFSETS.std(ddof=1)), 8)
PAIR = ["kd/a", "kd/b"]
LESS = {"difference": PAIR, "direction": "less", "margin": 0.5}
GREATER = {**LESS, "direction": "greater"}
NO_WORSE = {"non_inferiority": PAIR, "margin": 0.5}
SAME = {"equivalence": PAIR, "margin": 0.5}


def one(build, effect: float, claim: dict[str, Any], n: int = 8, rank: str = "primary") -> Finding:
    a = [[10.0 + effect + offset] for offset in OFFSETS[:n]]
    results = build({"kd/a": a, "kd/b": [[10.0]] * n}, metric=claim.get("metric", "test_error"))
    return find(results, ClaimsConfig.model_validate({rank: {"it": claim}}))[0]


HALF = float(t_interval(OFFSETS)[2])
NARROW = float(t_interval(OFFSETS, 0.9)[2])


@pytest.mark.parametrize(
    ("effect", "claim", "verdict", "border", "away"),
    [
        (-2.5, LESS, "supported", "zero", 2.5 - HALF),
        (2.5, GREATER, "supported", "zero", 2.5 - HALF),
        (2.5, LESS, "refuted", "0.5 points less", 3.0 - HALF),
        (-2.5, GREATER, "refuted", "0.5 points more", 3.0 - HALF),
        (-2.5, NO_WORSE, "supported", "0.5 points worse", 3.0 - HALF),
        (2.5, NO_WORSE, "refuted", "0.5 points worse", 2.0 - HALF),
        (0.0, SAME, "supported", "±0.5 points", 0.5 - NARROW),
        (-2.5, SAME, "refuted", "±0.5 points", 2.0 - HALF),
        (-2.5, {**NO_WORSE, "metric": "test_agreement"}, "refuted", "0.5 points worse", 2 - HALF),
    ],
)
def test_a_verdict_names_its_border_and_how_far_it_is(
    build, effect, claim, verdict, border, away
) -> None:
    found = one(build, effect, claim)
    assert found.verdict == verdict
    assert found.would_change == (
        f"an interval that reaches {border}; its nearer end is {away:.1f} points away"
    )


def test_a_border_that_is_a_hair_away_is_not_0(build) -> None:
    found = one(build, -(HALF + 0.0013), {**LESS, "margin": 0.2})
    assert found.verdict == "supported"
    assert found.would_change.endswith("its nearer end is 0.001 points away")


def test_undecided_names_replicates_for_a_width_and_for_a_power(build) -> None:
    found = one(build, -0.25, {**LESS, "margin": 0.1})
    powerful = replicates_for_power(0.1, BOUND)
    assert found.seeds_needed == 69
    assert found.would_change == (
        f"more replicates: 69 would give an interval of ±0.1 points; {powerful} give an 80 % "
        "chance of support if the effect is 0.1 points (both at the upper 80 % bound of the spread)"
    )
    same = one(build, 0.1, {**SAME, "margin": 0.1})
    powerful = replicates_for_power(0.1, BOUND, error=0.05, wanted=0.9)
    assert f"; {powerful} give an 80 % chance of support if there is no difference" in (
        same.would_change
    )


def test_undecided_with_an_interval_that_is_narrow_enough(build) -> None:
    found = one(build, -0.4, {**NO_WORSE, "margin": 0.5, "metric": "test_agreement"})
    assert found.verdict == "undecided"
    assert "within ±0.5 points of its middle already, and lies across a border" in (
        found.would_change
    )


def test_80_percent_chance_of_equivalence_is_kept() -> None:
    """Two one-sided tests with the replicates that are named, at a true difference of zero."""
    n = replicates_for_power(0.5, 0.8, error=0.05, wanted=0.9)
    values = np.random.default_rng(0).normal(0.0, 0.8, (20_000, n))
    _, low, high = t_interval(values, 0.90)
    assert 0.79 < np.mean((low > -0.5) & (high < 0.5)) < 0.86


def test_a_secondary_claim_is_measured_at_the_interval_that_decided(build) -> None:
    claims = {"a": LESS, "b": {**LESS, "margin": 0.4}}
    a = [[10.0 - 2.5 + offset] for offset in OFFSETS]
    results = build({"kd/a": a, "kd/b": [[10.0]] * 8})
    found = find(results, ClaimsConfig.model_validate({"secondary": claims}))
    half = float(t_interval(OFFSETS, 0.975)[2])
    assert found[0].would_change.endswith(f"its nearer end is {2.5 - half:.1f} points away")


def test_where_there_is_no_interval_or_no_verdict(build) -> None:
    assert one(build, -2.5, LESS, n=1).would_change == (
        "more replicates: an interval takes at least 2"
    )
    gone = {**LESS, "difference": ["kd/a", "kd/none"]}
    assert one(build, 0.0, gone).would_change == "runs: no replicate has all that it compares"
    explored = one(build, -2.5, LESS, rank="exploratory")
    assert explored.would_change == "nothing here: another study can claim it"
