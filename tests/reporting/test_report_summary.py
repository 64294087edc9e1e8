"""Means, intervals and pairing of the reports, against scipy and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tutelage.reporting.summary import Condition, Summary, t_interval

Results = dict[str, Any]


def _means(results: Results, condition: str, metric: str = "test_error") -> list[float]:
    """The mean of each replicate, straight from the runs."""
    runs = [
        run for run in results["runs"] if run["role"] == "student" and run["condition"] == condition
    ]
    replicates = sorted({run["replicate"] for run in runs})
    return [np.mean([run[metric] for run in runs if run["replicate"] == r]) for r in replicates]


def _condition(summary: Summary, name: str) -> Condition:
    return next(condition for condition in summary.conditions if condition.name == name)


def _run(results: Results, key: str) -> dict[str, Any]:
    return next(run for run in results["runs"] if run["key"] == key)


@pytest.mark.parametrize("n", [2, 3, 6, 20])
def test_an_interval_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(10, 2, n)
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    found = t_interval(values)
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert found.n == n
    assert found.half == pytest.approx((high - low) / 2)


def test_students_are_averaged_inside_their_replicate(results: Results) -> None:
    expected = _means(results, "kd/large")
    low, high = stats.t.interval(0.95, 5, loc=np.mean(expected), scale=stats.sem(expected))
    found = _condition(Summary(results), "kd/large").interval("test_error")
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(expected), low, high))
    assert found.n == 6


def test_a_difference_is_a_paired_t_over_replicates(results: Results) -> None:
    a, b = _means(results, "kd/early"), _means(results, "kd/large")
    reference = stats.ttest_rel(a, b).confidence_interval(0.95)
    summary = Summary(results)
    found = _condition(summary, "kd/early").minus(_condition(summary, "kd/large"), "test_error")
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))


def test_a_control_on_the_same_images_comes_before_one_of_the_same_length(
    results: Results,
) -> None:
    assert Summary(results).scratch_for(_condition(Summary(results), "kd/early")).name == "scratch"
    half = next(c for c in results["conditions"] if c["name"] == "scratch") | {
        "name": "half", "group": "half", "images": "half-a", "epochs": 7,
    }  # fmt: skip
    results["conditions"].append(half)
    run = _run(results, "r0/scratch/s0")
    results["runs"].append(run | {"key": "r0/half/s0", "condition": "half"})
    for condition in results["conditions"]:
        if condition["name"] == "kd/early":
            condition["images"] = "half-a"
    summary = Summary(results)
    assert summary.scratch_for(_condition(summary, "kd/early")).name == "half"
    assert summary.scratch_for(_condition(summary, "kd/large")).name == "scratch"


def test_a_difference_uses_only_the_students_that_both_have(results: Results) -> None:
    _run(results, "r2/kd/early/s1")["status"] = "failed"
    summary = Summary(results)
    found = _condition(summary, "kd/early").minus(_condition(summary, "scratch"), "test_error")
    pairs = [
        _run(results, f"r2/kd/early/s{s}")["test_error"]
        - _run(results, f"r2/scratch/s{s}")["test_error"]
        for s in (0, 2)
    ]
    others = [
        a - b
        for r, (a, b) in enumerate(
            zip(_means(results, "kd/early"), _means(results, "scratch"), strict=True)
        )
        if r != 2
    ]
    assert found.mean == pytest.approx(np.mean([*others, np.mean(pairs)]))
    assert _condition(summary, "kd/early").counts == "6 × 2–3"


def test_a_diverged_student_counts_as_chance(results: Results) -> None:
    before = _condition(Summary(results), "eskd").interval("test_error")
    run = _run(results, "r0/eskd/s0")
    kept = run["test_error"]
    run.update(status="diverged", test_error=None, val_error=None, history=run["history"][:40])
    condition = _condition(Summary(results), "eskd")
    assert condition.diverged == 1
    assert condition.interval("test_error").mean == pytest.approx(before.mean + (90 - kept) / 18)
    rest = [_run(results, f"r0/eskd/s{s}")["test_error"] for s in (1, 2)]
    assert condition.means("test_error", diverged=False)[0] == pytest.approx(np.mean(rest))
    assert (0, 0) not in condition.values("test_nll")


def test_curves_are_differences_at_each_epoch_and_chance_after_a_divergence(
    results: Results,
) -> None:
    summary = Summary(results)
    curve = dict(_condition(summary, "kd/small").curve_minus(summary.conditions[0], "val_error"))
    assert list(curve) == list(range(1, 121))
    for epoch in (1, 36, 120):
        differences = [
            np.mean(
                [
                    _run(results, f"r{r}/kd/small/s{s}")["history"][epoch - 1]["val_error"]
                    - _run(results, f"r{r}/scratch/s{s}")["history"][epoch - 1]["val_error"]
                    for s in range(3)
                ]
            )
            for r in range(6)
        ]
        low, high = stats.t.interval(
            0.95, 5, loc=np.mean(differences), scale=stats.sem(differences)
        )
        assert (curve[epoch].low, curve[epoch].high) == pytest.approx((low, high))

    run = _run(results, "r3/kd/small/s2")
    error = run["history"][119]["val_error"]
    run.update(status="diverged", history=run["history"][:10])
    summary = Summary(results)
    after = dict(_condition(summary, "kd/small").curve_minus(summary.conditions[0], "val_error"))
    assert after[10].mean == pytest.approx(curve[10].mean)
    assert after[120].mean == pytest.approx(curve[120].mean + (90 - error) / 18)


def test_costs_are_summed_by_role(results: Results) -> None:
    teacher, student = Summary(results).costs()
    assert (teacher.role, teacher.runs) == ("teacher", 42)
    assert (teacher.attributed_s, teacher.spent_s) == pytest.approx((42 * 9.0, 42 * 5.0))
    assert (student.role, student.runs) == ("student", 198)
    assert (student.attributed_s, student.spent_s) == pytest.approx((396.0, 198 * 1.6))


def test_teachers_are_described_and_averaged(results: Results) -> None:
    teachers = {teacher.name: teacher for teacher in Summary(results).teachers}
    assert [name for name, one in teachers.items() if one.full] == [
        *("small", "medium", "large", "chained")
    ]
    assert teachers["best"].stop_epochs == "15 to 30"
    assert teachers["early"].stop_epochs == "24"
    assert teachers["matched"].variant == "compressed 0.2 (24 epochs), entropy of large at T 4"
    assert teachers["chained"].description == "plain-16-16-16, full, taught by large"
    errors = [replicate["test_error"] for replicate in teachers["large"].row["replicates"]]
    low, _ = stats.t.interval(0.95, 5, loc=np.mean(errors), scale=stats.sem(errors))
    assert teachers["large"].interval("test_error").low == pytest.approx(low)
    assert teachers["large"].interval("factor") is None


def test_runs_that_are_not_done_are_listed_by_status(results: Results) -> None:
    _run(results, "r1/eskd/s0")["status"] = "failed"
    _run(results, "r0/kd/best/s2")["status"] = "pending"
    _run(results, "r5/kd/best/s2")["status"] = "pending"
    assert Summary(results).unfinished() == {
        "failed": ["r1/eskd/s0"],
        "pending": ["r0/kd/best/s2", "r5/kd/best/s2"],
    }
