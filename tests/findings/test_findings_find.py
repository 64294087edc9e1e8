"""Claims on a results document: every field of a finding, and its sentence."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tutelage.config.schema import ClaimsConfig
from tutelage.errors import UserError
from tutelage.findings import Finding, find

# Exact in binary, so that the sentences can be written down by hand.
OFFSETS = [-0.5, -0.25, 0.0, 0.25, 0.5, 0.0, -0.125, 0.125]


def claims(**secondary: dict[str, Any]) -> ClaimsConfig:
    return ClaimsConfig.model_validate({"secondary": secondary})


def one(results: dict[str, Any], claim: dict[str, Any], **options: Any) -> Finding:
    return find(results, claims(it=claim), **options)[0]


def pair(build, effect: float, n: int = 8, **options: Any) -> dict[str, Any]:
    """Two conditions of one seed; the differences are `effect` plus n of the offsets."""
    base = [[10.0 + r] for r in range(n)]
    shifted = [[b[0] + effect + OFFSETS[r]] for r, b in enumerate(base)]
    return build({"kd/matched": shifted, "kd/large": base}, **options)


LESS = {"difference": ["kd/matched", "kd/large"], "direction": "less", "margin": 0.5}


def test_every_field_of_a_difference(build) -> None:
    found = one(pair(build, -2.5), LESS)
    expected = stats.ttest_1samp(np.array(OFFSETS) - 2.5, 0.0).confidence_interval(0.95)
    assert found.effect == pytest.approx(-2.5)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert (found.claim, found.rank, found.kind) == ("it", "secondary", "difference")
    assert (found.metric, found.unit, found.margin) == ("test_error", "points", 0.5)
    assert (found.verdict, found.n, found.level) == ("supported", 8, 0.95)
    assert found.seeds_needed == 6
    assert found.would_change == (
        "an interval that reaches zero; its nearer end is 2.2 points away"
    )
    assert found.method == (
        "95 % t interval over replicate means of differences paired on student seeds, "
        "7 degrees of freedom"
    )
    assert found.sentence == (
        "kd/matched has 2.5 points less test error than kd/large "
        "(95 % interval 2.2 to 2.8 less, 8 replicates): supported."
    )


def test_student_seeds_are_averaged_first_so_n_counts_replicates(build) -> None:
    a, b = np.random.default_rng(0).normal(10.0, 1.0, (2, 6, 5))
    found = one(build({"kd/matched": a.tolist(), "kd/large": b.tolist()}), LESS)
    expected = stats.ttest_rel(a.mean(axis=1), b.mean(axis=1)).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.n == 6


def test_a_finding_is_plain_json_and_the_primary_claim_comes_first(build) -> None:
    config = ClaimsConfig.model_validate(
        {"primary": {"z": LESS}, "secondary": {"a": LESS, "b": LESS}}
    )
    found = find(pair(build, -2.5), config)
    assert [(f.claim, f.rank) for f in found] == [
        ("z", "primary"), ("a", "secondary"), ("b", "secondary"),
    ]  # fmt: skip
    again = json.loads(json.dumps(found[0].to_dict()))
    assert again == found[0].to_dict()
    assert list(again) == [
        "claim", "rank", "kind", "metric", "verdict", "effect", "low", "high", "unit", "margin",
        "n", "method", "level", "seeds_needed", "sentence", "step_level",
        "would_change", "among", "settings", "depends", "prediction",
    ]  # fmt: skip


def test_no_claims_no_findings(build) -> None:
    assert find(pair(build, 0.0), ClaimsConfig()) == []


@pytest.mark.parametrize(
    ("effect", "claim", "verdict", "sentence"),
    [
        (
            2.5, {"difference": ["kd/matched", "kd/large"], "direction": "greater", "margin": 0.5},
            "supported",
            "kd/matched has 2.5 points more test error than kd/large "
            "(95 % interval 2.2 to 2.8 more, 8 replicates): supported.",
        ),
        (
            2.5, LESS, "refuted",
            "kd/matched has 2.5 points more test error than kd/large (95 % interval 2.2 to 2.8 "
            "more, 8 replicates); lower by 0.5 points or more is excluded: refuted.",
        ),
        (
            -0.25, {**LESS, "margin": 0.1}, "undecided",
            "kd/matched has 0.25 points less test error than kd/large (95 % interval 0.51 less to "
            "0.01 more, 8 replicates): undecided; 69 replicates would give an interval of ±0.1 "
            "points (at the upper 80 % bound of the spread).",
        ),
        (
            -0.25, {**LESS, "margin": 1.0}, "refuted",
            "kd/matched has 0.25 points less test error than kd/large (95 % interval 0.51 less to "
            "0.01 more, 8 replicates); lower by 1 point or more is excluded: refuted.",
        ),
        (
            0.0, {"equivalence": ["kd/matched", "kd/large"], "margin": 0.5}, "supported",
            "kd/matched has, to 0.1 points, the same test error as kd/large (90 % interval 0.2 "
            "less to 0.2 more, 8 replicates); a difference of 0.5 points or more is excluded: "
            "supported.",
        ),
        (
            2.5, {"equivalence": ["kd/matched", "kd/large"], "margin": 0.5}, "refuted",
            "kd/matched has 2.5 points more test error than kd/large (90 % interval 2.3 to 2.7 "
            "more, 8 replicates); the difference is more than 0.5 points: refuted.",
        ),
        (
            0.5, {"equivalence": ["kd/matched", "kd/large"], "margin": 0.5}, "undecided",
            "kd/matched has 0.5 points more test error than kd/large (90 % interval 0.3 to 0.7 "
            "more, 8 replicates); whether the difference is 0.5 points or more is open: undecided.",
        ),
        (
            0.125, {"non_inferiority": ["kd/matched", "kd/large"], "margin": 0.5}, "supported",
            "kd/matched has 0.1 points more test error than kd/large (95 % interval 0.1 less to "
            "0.4 more, 8 replicates); worse by 0.5 points or more is excluded: supported.",
        ),
        (
            2.5, {"non_inferiority": ["kd/matched", "kd/large"], "margin": 0.5}, "refuted",
            "kd/matched has 2.5 points more test error than kd/large (95 % interval 2.2 to 2.8 "
            "more, 8 replicates); it is worse by more than 0.5 points: refuted.",
        ),
        (
            0.5, {"non_inferiority": ["kd/matched", "kd/large"], "margin": 0.5}, "undecided",
            "kd/matched has 0.5 points more test error than kd/large (95 % interval 0.2 to 0.8 "
            "more, 8 replicates); whether it is worse by 0.5 points or more is open: undecided.",
        ),
    ],
)  # fmt: skip
def test_verdicts_in_words(build, effect, claim, verdict, sentence) -> None:
    found = one(pair(build, effect), claim)
    assert found.verdict == verdict
    assert found.sentence == sentence


def test_equivalence_is_two_one_sided_tests_at_5_percent(build) -> None:
    values = np.array(OFFSETS) + 0.2
    for margin in (0.39, 0.4, 0.42, 0.44, 0.5):
        found = one(pair(build, 0.2), {"equivalence": ["kd/matched", "kd/large"], "margin": margin})
        above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(values, margin, alternative="less").pvalue
        assert (found.verdict == "supported") == (max(above, below) < 0.05)
        assert found.level == 0.90
    assert found.method.startswith("two one-sided t tests at 5 % (90 % t interval) over replicate")


def test_rounding_never_moves_an_interval_over_a_border(build) -> None:
    # The interval ends at -0.0247...: "0.0 less" would hide why this is supported.
    values = np.array(OFFSETS)
    half = stats.t.ppf(0.975, 7) * values.std(ddof=1) / np.sqrt(8)
    found = one(pair(build, -float(half) - 0.0247), LESS)
    assert found.verdict == "supported"
    assert "95 % interval 0.02 to 0.54 less" in found.sentence


@pytest.mark.parametrize("n", [2, 5])
def test_few_replicates_speak_of_these_teachers_only(build, n) -> None:
    found = one(pair(build, -25.0, n), LESS)
    assert found.sentence.startswith("For these teachers, kd/matched has 25.")
    assert f", {n} replicates): supported." in found.sentence


def test_six_replicates_of_the_same_teachers_are_still_these_teachers(build) -> None:
    fixed = {"replicates": {"vary": []}}
    assert one(pair(build, -2.5, 6), LESS).sentence.startswith("kd/matched has")
    assert one(pair(build, -2.5, 6, config=fixed), LESS).sentence.startswith("For these teachers")


@pytest.mark.parametrize("kind", ["difference", "non_inferiority", "equivalence"])
def test_one_replicate_decides_nothing(build, kind) -> None:
    claim = {kind: ["kd/matched", "kd/large"], "margin": 0.5}
    if kind == "difference":
        claim["direction"] = "less"
    found = one(pair(build, -2.5, 1), claim)
    assert (found.verdict, found.n, found.effect) == ("undecided", 1, -3.0)
    assert (found.low, found.high, found.seeds_needed) == (None, None, None)
    assert found.sentence == (
        "For these teachers, kd/matched has 3.0 points less test error than kd/large "
        "(no interval, 1 replicate): undecided."
    )


def test_nothing_measured(build) -> None:
    found = one(build({"kd/large": [[1.0]]}), LESS)
    assert (found.verdict, found.n, found.effect, found.low) == ("undecided", 0, None, None)
    assert found.sentence.startswith(
        "No replicate has both kd/matched and kd/large with the same student seed: undecided."
    )


def test_runs_that_are_not_done_are_left_out_and_said(build, row) -> None:
    results = pair(build, -2.5)
    row(results, "r0/kd/large/s0").update(status="failed", test_error=None)
    row(results, "r1/kd/matched/s0").update(status="pending", test_error=None)
    found = one(results, LESS)
    assert found.n == 6
    assert found.effect == pytest.approx(np.mean(OFFSETS[2:]) - 2.5)
    assert "6 of 8 replicates): supported. 2 student seeds are left out" in found.sentence


def test_diverged_runs_count_as_chance_and_the_other_way_is_shown(build, row) -> None:
    results = pair(build, -2.5)
    row(results, "r3/kd/matched/s0").update(status="diverged", test_error=None)
    found = one(results, LESS)
    values = np.array(OFFSETS) - 2.5
    values[3] = 90.0 - 13.0
    assert found.effect == pytest.approx(values.mean())
    assert (found.verdict, found.n) == ("undecided", 8)
    assert found.method.endswith("; 1 diverged run counted as chance error")
    assert (
        "1 diverged run is counted as chance error, 90 %; without it: kd/matched has 2.5 points "
        "less test error than kd/large (95 % interval 2.2 to 2.8 less, 7 of 8 replicates): "
        "supported."
    ) in found.sentence
    dropped = one(results, LESS, diverged="dropped")
    assert (dropped.verdict, dropped.n) == ("supported", 7)
    assert dropped.method.endswith("; 1 diverged run left out")
    assert "left out; counted as chance error, 90 %: kd/matched has 7.4" in dropped.sentence


def test_a_diverged_run_has_no_mimicry(build, row) -> None:
    results = pair(build, -2.5, metric="train_kl_t4")
    row(results, "r3/kd/matched/s0").update(status="diverged", train_kl_t4=None)
    found = one(results, {**LESS, "metric": "train_kl"})
    assert (found.n, found.verdict) == (7, "supported")
    assert found.sentence.endswith("1 diverged run is left out, having no such figure.")
    assert found.method.endswith("; 1 diverged run left out")


@pytest.mark.parametrize(
    ("metric", "canonical", "unit", "words"),
    [
        ("train_kl_shape", "train_kl_shape_t4", "nats",
         "2.50 nats less KL from its teacher (shape part, train, temperature 4) than"),
        ("test_kl_t1", "test_kl_t1", "nats",
         "2.50 nats less KL from its teacher (test, temperature 1) than"),
        ("test_agreement", "test_agreement", "points",
         "2.5 points less agreement with its teacher (test) than"),
        ("val_nll", "val_nll", "nats", "2.50 nats less validation NLL than"),
        ("test_ece", "test_ece", "points", "2.5 points less test calibration error than"),
        ("test_brier", "test_brier", "", "2.50 less test Brier score than"),
        ("test_top5", "test_top5", "points", "2.5 points less top-5 test error than"),
        ("best_val_error", "best_val_error", "points", "2.5 points less best validation error"),
    ],
)  # fmt: skip
def test_metrics_and_units(build, metric, canonical, unit, words) -> None:
    found = one(pair(build, -2.5, metric=canonical), {**LESS, "metric": metric})
    assert (found.metric, found.unit) == (canonical, unit)
    assert words in found.sentence
    assert found.verdict == "supported"


def test_less_agreement_is_worse(build) -> None:
    results = pair(build, -2.5, metric="test_agreement")
    claim = {"non_inferiority": ["kd/matched", "kd/large"], "metric": "test_agreement"}
    assert one(results, {**claim, "margin": 0.5}).verdict == "refuted"
    assert one(results, {**claim, "margin": 5.0}).verdict == "supported"


def test_an_unknown_metric_is_a_user_error(build) -> None:
    with pytest.raises(UserError, match="unknown metric 'test_eror'"):
        one(pair(build, 0.0), {**LESS, "metric": "test_eror"})


def _trend(build, teacher, slope: float, n: int = 8, metric: str = "test_error") -> dict[str, Any]:
    sizes = {"small": 1000, "middle": 2000, "large": 4000}
    errors = {
        f"kd/{name}": [[10.0 + r + (slope + OFFSETS[r]) * step] for r in range(n)]
        for step, name in enumerate(sizes)
    }
    tutors = [teacher(name, [20.0 + 2.0 * step] * n, parameters=size)
              for step, (name, size) in enumerate(sizes.items())]  # fmt: skip
    return build(errors, teachers=tutors, metric=metric)


def test_trend_over_parameters(build, teacher) -> None:
    claim = {"trend": {"within": "kd"}, "direction": "increasing", "margin": 0.25}
    found = one(_trend(build, teacher, 1.5), claim)
    expected = stats.ttest_1samp(np.array(OFFSETS) + 1.5, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert (found.kind, found.unit, found.verdict) == ("trend", "points per doubling", "supported")
    assert "least-squares slopes on log2 of teacher parameters, 7 degrees" in found.method
    assert found.sentence == (
        "With each doubling of the teacher's parameters, test error rises by 1.5 points (95 % "
        "interval 1.2 to 1.8 up, 8 replicates; over kd/small, kd/middle, kd/large): supported."
    )


def test_trend_over_teacher_error_that_falls(build, teacher) -> None:
    claim = {
        "trend": {"over": "teacher_error", "of": "train_kl_shape", "within": "kd"},
        "direction": "increasing", "margin": 0.25,
    }  # fmt: skip
    found = one(_trend(build, teacher, -3.0, 4, "train_kl_shape_t4"), claim)
    assert found.effect == pytest.approx((-3.0 + np.mean(OFFSETS[:4])) / 2.0)
    assert (found.unit, found.metric) == ("nats per point", "train_kl_shape_t4")
    assert found.verdict == "refuted"
    assert found.sentence == (
        "For these teachers, with each point of the teacher's own test error, KL from its teacher "
        "(shape part, train, temperature 4) falls by 1.56 nats (95 % interval 1.31 to 1.82 down, "
        "4 replicates; over kd/small, kd/middle, kd/large); a rise of 0.25 nats or more is "
        "excluded: refuted."
    )


def test_trend_without_different_teachers(build, teacher) -> None:
    results = _trend(build, teacher, 1.0)
    claim = {"trend": {"within": "nobody"}, "direction": "increasing", "margin": 0.25}
    found = one(results, claim)
    assert (found.verdict, found.n, found.effect) == ("undecided", 0, None)
    assert found.sentence.startswith("No replicate has the runs of at least two different teachers")


def test_order_of_rows_changes_no_finding(build, teacher) -> None:
    rng = np.random.default_rng(1)
    errors = {f"kd/{name}": rng.normal(10, 2, (7, 4)).tolist() for name in ("small", "large")}
    tutors = [teacher(n, [20.0] * 7, parameters=p) for n, p in (("small", 10), ("large", 50))]
    results = build(errors, teachers=tutors)
    both = ["kd/small", "kd/large"]
    config = claims(
        a={"difference": both, "direction": "less", "margin": 0.5},
        b={"equivalence": both, "margin": 0.5},
        c={"trend": {"within": "kd"}, "direction": "increasing", "margin": 0.5},
    )
    before = find(results, config)
    for seed in range(3):
        random.Random(seed).shuffle(results["runs"])
        assert find(results, config) == before
