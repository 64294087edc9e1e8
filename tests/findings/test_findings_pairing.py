"""From rows to replicate values: pairing, order, and every way for a run to be absent."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tutelage.findings.pairing import (
    chance_error,
    differences,
    family,
    replicate_means,
    slopes,
    teachers_vary,
)

A = [[10.0, 11.0, 12.0], [13.0, 14.0, 16.0]]
B = [[9.0, 9.5, 10.0], [14.0, 14.5, 15.0]]


def test_difference_is_the_mean_of_paired_differences_of_each_replicate(build) -> None:
    sample = differences(build({"a": A, "b": B}), "test_error", "a", "b")
    expected = (np.array(A) - np.array(B)).mean(axis=1)
    assert list(sample.values) == [0, 1]
    assert list(sample.values.values()) == pytest.approx(expected)
    assert (sample.replicates, sample.missing, sample.diverged) == (2, 0, 0)


def test_order_of_rows_does_not_matter_to_the_last_bit(build) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(10, 3, (2, 9, 7)).tolist()
    results = build({"a": a, "b": b})
    before = differences(results, "test_error", "a", "b")
    for seed in range(5):
        random.Random(seed).shuffle(results["runs"])
        again = differences(results, "test_error", "a", "b")
        assert again == before
        assert list(again.values) == list(range(9))


def test_only_seeds_that_both_have_are_compared(build, row) -> None:
    results = build({"a": A, "b": B})
    row(results, "r0/b/s2")["status"] = "failed"
    row(results, "r1/a/s0").update(status="pending", test_error=None)
    sample = differences(results, "test_error", "a", "b")
    # Left: seeds 0 and 1 in replicate 0, seeds 1 and 2 in replicate 1.
    assert sample.values == pytest.approx({0: (1.0 + 1.5) / 2, 1: (-0.5 + 1.0) / 2})
    assert (sample.replicates, sample.missing) == (2, 2)


def test_a_row_that_was_never_written_is_missing(build, row) -> None:
    results = build({"a": A, "b": B})
    results["runs"].remove(row(results, "r0/a/s1"))
    sample = differences(results, "test_error", "a", "b")
    assert sample.values[0] == pytest.approx((1.0 + 2.0) / 2)
    assert sample.missing == 1


def test_a_replicate_without_a_pair_has_no_value(build, row) -> None:
    results = build({"a": [[10.0], [11.0]], "b": [[8.0], [7.0]]})
    row(results, "r1/b/s0")["status"] = "failed"
    sample = differences(results, "test_error", "a", "b")
    assert sample.values == {0: 2.0}
    assert (sample.replicates, sample.missing) == (2, 1)


@pytest.mark.parametrize("absent", [None, float("nan"), float("inf")])
def test_a_figure_that_is_absent_or_not_finite_is_missing(build, row, absent) -> None:
    results = build({"a": A, "b": B})
    row(results, "r0/a/s0")["test_error"] = absent
    sample = differences(results, "test_error", "a", "b")
    assert sample.values[0] == pytest.approx((1.5 + 2.0) / 2)
    assert sample.missing == 1


def test_teachers_and_other_conditions_do_not_enter(build) -> None:
    results = build({"a": A, "b": B, "c": [[0.0, 0.0, 0.0]] * 5})
    results["runs"].append({**results["runs"][0], "role": "teacher", "test_error": 99.0})
    sample = differences(results, "test_error", "a", "b")
    assert sample.values[0] == pytest.approx(1.5)
    assert sample.replicates == 2


def test_two_rows_for_one_run_are_refused(build) -> None:
    results = build({"a": A, "b": B})
    results["runs"].append(dict(results["runs"][0]))
    with pytest.raises(ValueError, match="two rows for one run: r0/a/s0"):
        differences(results, "test_error", "a", "b")


def test_a_diverged_run_counts_as_chance_or_is_dropped(build, row) -> None:
    results = build({"a": A, "b": B}, classes=10)
    row(results, "r0/a/s0").update(status="diverged", test_error=None)
    filled = differences(results, "test_error", "a", "b")
    dropped = differences(results, "test_error", "a", "b", "dropped")
    assert filled.values[0] == pytest.approx((81.0 + 1.5 + 2.0) / 3)
    assert dropped.values[0] == pytest.approx((1.5 + 2.0) / 2)
    for sample in (filled, dropped):
        assert (sample.diverged, sample.missing) == (1, 0)
        assert sample.values[1] == pytest.approx((-1.0 - 0.5 + 1.0) / 3)


def test_where_guessing_has_no_value_a_diverged_run_is_dropped(build, row) -> None:
    results = build({"a": A, "b": B}, metric="train_kl_t4")
    row(results, "r0/a/s0").update(status="diverged", train_kl_t4=None)
    sample = differences(results, "train_kl_t4", "a", "b", "chance")
    assert sample.values[0] == pytest.approx((1.5 + 2.0) / 2)
    assert (sample.diverged, sample.missing) == (1, 0)


def test_chance() -> None:
    assert chance_error("test_error", 10) == pytest.approx(90.0)
    assert chance_error("best_val_error", 2) == pytest.approx(50.0)
    assert chance_error("test_top5", 100) == pytest.approx(95.0)
    assert chance_error("test_top5", 3) == 0.0
    assert chance_error("test_nll", 10) is None


def _family(teacher) -> list:
    return [
        teacher("small", [10.0, 12.0], parameters=1000),
        teacher("large", [30.0, 36.0], parameters=8000),
        teacher("middle", [20.0, 20.0], parameters=2000),
        teacher("early", [1.0, 1.0], parameters=8000, stop="compressed 0.2 (24 epochs)"),
        teacher("soft", [1.0, 1.0], parameters=8000, scaled="calibrated"),
        teacher("taught", [1.0, 1.0], parameters=8000, taught_by="large"),
        teacher("several", [1.0, 1.0], parameters=9000, made_of="mean of small, large"),
    ]


def _errors() -> dict:
    names = ["small", "large", "middle", "early", "soft", "taught", "several"]
    values = [[1.0, 3.0], [8.0, 8.0], [5.0, 3.0], *[[99.0, 99.0]] * 4]
    return {f"kd/{n}": [v, [x + 1 for x in v]] for n, v in zip(names, values, strict=True)}


def test_a_group_stands_for_its_full_unscaled_untaught_teachers(build, teacher) -> None:
    results = build({**_errors(), "at/small": [[1.0]]}, teachers=_family(teacher))
    assert family(results, "kd") == ["kd/small", "kd/large", "kd/middle"]
    assert family(results, ["kd/early", "kd/small"]) == ["kd/small", "kd/early"]
    assert family(results, "none") == []


def test_slope_per_doubling_of_parameters(build, teacher) -> None:
    results = build(_errors(), teachers=_family(teacher))
    sample = slopes(results, "test_error", family(results, "kd"), "teacher_parameters")
    x = np.log2([1000, 8000, 2000])
    expected = [np.polyfit(x, [2.0 + r, 8.0 + r, 4.0 + r], 1)[0] for r in range(2)]
    assert list(sample.values.values()) == pytest.approx(expected)


def test_slope_per_point_of_each_replicates_own_teachers(build, teacher) -> None:
    results = build(_errors(), teachers=_family(teacher))
    sample = slopes(results, "test_error", family(results, "kd"), "teacher_error")
    expected = [
        np.polyfit(x, [2.0 + r, 8.0 + r, 4.0 + r], 1)[0]
        for r, x in enumerate([[10.0, 30.0, 20.0], [12.0, 36.0, 20.0]])
    ]
    assert list(sample.values.values()) == pytest.approx(expected)


def test_no_slope_without_every_condition_or_without_two_different_teachers(
    build, teacher, row
) -> None:
    results = build(_errors(), teachers=_family(teacher))
    names = family(results, "kd")
    row(results, "r0/kd/middle/s0")["status"] = "failed"
    row(results, "r0/kd/middle/s1")["status"] = "failed"
    assert list(slopes(results, "test_error", names, "teacher_parameters").values) == [1]
    results["teachers"][0]["replicates"][1]["test_error"] = None
    assert slopes(results, "test_error", names, "teacher_error").values == {}
    same = ["kd/large", "kd/early"]  # 8000 parameters both
    assert slopes(results, "test_error", same, "teacher_parameters").values == {}
    assert slopes(results, "test_error", ["kd/small"], "teacher_parameters").values == {}


def test_means_of_an_unknown_condition_are_empty(build) -> None:
    means = replicate_means(build({"a": A}), "test_error", ["a", "nobody"])
    assert means.values == {}
    assert (means.replicates, means.missing) == (2, 6)


@pytest.mark.parametrize(
    ("vary", "noise", "expected"),
    [(["split"], 0.0, True), (["teacher"], 0.0, True), (["noise"], 0.0, False),
     (["noise"], 0.3, True), ([], 0.3, False)],
)  # fmt: skip
def test_whether_teachers_vary(build, vary, noise, expected) -> None:
    config = {"replicates": {"vary": vary}}
    results = build({"a": A}, label_noise=noise, config=config)
    assert teachers_vary(results) is expected
    assert teachers_vary(build({"a": A}))
