"""The best control within a budget: chosen on validation, never on test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tutelage.config.schema import ClaimConfig, ClaimsConfig
from tutelage.findings import equal_compute, find
from tutelage.findings.budgets import budget, budgets, plain
from tutelage.findings.compute import within
from tutelage.findings.match import match
from tutelage.findings.planning import outlooks

CELLS = {"tuned/1x": 1.0, "tuned/2x": 2.0, "tuned/4x": 4.0}
CLAIM = {"difference": ["kd/t", "tuned"], "direction": "less", "margin": 0.5}


def study(build, errors: dict[str, Any], val: dict[str, Any], students: int = 2) -> dict[str, Any]:
    """Arrays [replicates, seeds] of test and validation errors; kd costs 1.5 and its teacher 4."""
    results = build({name: np.asarray(each).tolist() for name, each in errors.items()},
                    config={"replicates": {"students": students, "vary": ["teacher"]}})  # fmt: skip
    for row in results["runs"]:
        name, r, s = row["condition"], row["replicate"], row["seed"]
        row["val_error"] = float(np.asarray(val.get(name, errors[name]))[r][s])
    for entry in results["conditions"]:
        entry["teacher"] = "t" if entry["name"] == "kd/t" else None
        own = CELLS.get(entry["name"], 1.5 if entry["teacher"] else 1.0)
        entry["compute"] = {"own": own, "teacher": 4.0 if entry["teacher"] else 0.0}
        entry["searched"] = CELLS.get(entry["name"])
    return results


def drawn(rng, replicates: int, students: int = 2) -> dict[str, np.ndarray]:
    return {name: rng.normal(20.0, 1.0, (replicates, students)) for name in ("kd/t", *CELLS)}


def test_budgets_of_the_three_accounts(build) -> None:
    results = study(build, drawn(np.random.default_rng(0), 3), {})
    spent = [budget(results, "kd/t", account) for account in ("free", "shared", "full")]
    assert spent == [1.5, 3.5, 5.5]


def test_the_cell_is_the_best_on_validation_within_the_budget(build) -> None:
    errors = drawn(np.random.default_rng(1), 2)
    val = {"tuned/1x": [[5, 5], [3, 3]], "tuned/2x": [[4, 4], [4, 4]], "tuned/4x": [[1, 1], [1, 1]]}
    results = study(build, errors, val)
    assert within(results, "kd/t", "tuned", 1.5)[1] == {0: "tuned/1x", 1: "tuned/1x"}
    assert within(results, "kd/t", "tuned", 3.5)[1] == {0: "tuned/2x", 1: "tuned/1x"}
    assert within(results, "kd/t", "tuned", 5.5)[1] == {0: "tuned/4x", 1: "tuned/4x"}
    (found,) = find(results, ClaimsConfig.model_validate(
        {"primary": {"c": CLAIM | {"account": "shared"}}}))  # fmt: skip
    apart = [np.mean(errors["kd/t"][0] - errors["tuned/2x"][0]),
             np.mean(errors["kd/t"][1] - errors["tuned/1x"][1])]  # fmt: skip
    assert found.effect == pytest.approx(np.mean(apart))
    assert "the best cell of tuned on validation that costs no more than the 3.5x" in found.method
    assert "(the teacher shared by 2 students; its cells within that cost up to 2.0x)" in (
        found.method
    )


def test_a_teacher_that_is_shared_by_more_students(build) -> None:
    errors = drawn(np.random.default_rng(5), 2)
    results = study(build, errors, {})
    claim = ClaimConfig.model_validate(CLAIM | {"account": {"shared": 8}})
    assert claim.account is not None
    assert budget(results, "kd/t", claim.account) == 1.5 + 4.0 / 8
    (found,) = find(results, ClaimsConfig(primary={"c": claim}))
    assert found.effect == pytest.approx(
        np.mean([errors["kd/t"][r].mean() - errors[cell][r].mean() for r, cell in
                 within(results, "kd/t", "tuned", 2.0)[1].items()])
    )  # fmt: skip
    assert "no more than the 2.0x of kd/t (the teacher shared by 8 students" in found.method
    assert within(results, "kd/t", "tuned", 1.99)[1] == {0: "tuned/1x", 1: "tuned/1x"}


def test_a_multiple_is_of_the_plain_training_however_short_the_search(build) -> None:
    results = study(build, drawn(np.random.default_rng(6), 2), {})
    results["conditions"] = [c for c in results["conditions"] if c["name"] != "tuned/1x"]
    for entry in results["conditions"]:
        entry["compute"] = {key: 10 * spent for key, spent in entry["compute"].items()}
    assert plain(results, "tuned") == 10.0
    (told,) = equal_compute(results)
    assert [each["budget"] for each in told["lengths"]] == [2.0, 4.0]
    assert "With the teacher for free (1.5x), no cell of tuned costs as little." in told["text"]
    (found,) = find(results, ClaimsConfig.model_validate(
        {"primary": {"c": CLAIM | {"account": "free"}}}))  # fmt: skip
    assert (found.verdict, found.n) == ("undecided", 0)
    assert "no cell of tuned costs as little" in found.method


def test_a_plan_says_what_budgets_come_to_and_where_a_search_falls_short(build) -> None:
    results = study(build, drawn(np.random.default_rng(10), 2), {})
    outline = {"conditions": results["conditions"], "study": results["study"]}
    (row,) = budgets(outline)
    assert [row[key] for key in ("free", "shared", "full", "longest")] == [1.5, 3.5, 5.5, 4.0]
    assert row["text"] == (
        "kd/t costs 1.5x with the teacher for free, 3.5x with the teacher shared by 2 students, "
        "5.5x with the teacher fully charged; tuned goes to 4.0x, which falls short of it (full): "
        "add longer lengths."
    )
    results["conditions"][0]["compute"]["teacher"] = 3.0
    assert budgets(outline)[0]["text"].endswith("; tuned goes to 4.0x.")


def test_weights_from_outside_have_one_account(build) -> None:
    results = study(build, drawn(np.random.default_rng(7), 2), {})
    for entry in results["conditions"]:
        entry["compute"]["teacher"] = 0.0
    (told,) = equal_compute(results)
    assert told["text"].count("With the teacher") == 1
    assert {each["budget"] for each in told["accounts"]} == {1.5}


def test_diverged_controls_are_never_chosen_over_others_and_can_be_left_out(build) -> None:
    errors = {"kd/t": [[10.0], [10.0], [10.0]], **{c: [[12.0], [13.0], [14.0]] for c in CELLS}}
    results = study(build, errors, {}, students=1)
    for row in results["runs"]:
        only = row["condition"] == "tuned/4x" or row["replicate"] == 2
        if row["condition"] in CELLS and only:
            row |= {"status": "diverged", "val_error": None, "test_error": None}
    assert within(results, "kd/t", "tuned", 5.5)[1] == {0: "tuned/1x", 1: "tuned/1x", 2: "tuned/1x"}
    claims = ClaimsConfig.model_validate({"primary": {"c": CLAIM | {"account": "full"}}})
    (counted,), (dropped,) = find(results, claims), find(results, claims, diverged="dropped")
    assert counted.effect == pytest.approx((-2 - 3 - 80) / 3)
    assert (dropped.effect, dropped.n) == (-2.5, 2)


def test_the_choice_never_looks_at_test_errors(build) -> None:
    errors = drawn(np.random.default_rng(2), 4)
    val = {name: each + 1 for name, each in errors.items()}
    before = within(study(build, errors, val), "kd/t", "tuned", 5.5)[1]
    moved = {name: each if name == "kd/t" else each[:, ::-1] * -7 for name, each in errors.items()}
    assert within(study(build, moved, val), "kd/t", "tuned", 5.5)[1] == before


def test_a_replicate_without_all_cells_is_not_compared(build) -> None:
    results = study(build, drawn(np.random.default_rng(3), 3), {})
    next(r for r in results["runs"] if r["key"] == "r1/tuned/2x/s0")["status"] = "pending"
    assert set(within(results, "kd/t", "tuned", 5.5)[1]) == {0, 2}
    assert set(within(results, "kd/t", "tuned", 1.5)[1]) == {0, 1, 2}


def test_selection_makes_no_false_verdicts(build) -> None:
    """All conditions alike; validation errors have noise of their own."""
    rng, false = np.random.default_rng(4), 0
    claims = ClaimsConfig.model_validate({"primary": {"c": CLAIM | {"account": "full"}}})
    for _ in range(500):
        errors = drawn(rng, 6, students=1)
        val = {name: rng.normal(20.0, 1.0, each.shape) for name, each in errors.items()}
        (found,) = find(study(build, errors, val, students=1), claims)
        false += found.verdict == "supported"
    assert false / 500 <= 0.025 + 4 * (0.025 / 500) ** 0.5


@pytest.mark.parametrize(
    ("kd", "said"),
    [
        (20.0, "takes no more than 1.0x (95 %: no more than 1.0x)"),
        # A half of the way from 17 to 14, on a scale of doublings.
        (15.5, "between 2.0x and 4.0x, about 2.8x (95 %: more than 2.0x and no more than 4.0x)"),
        (10.0, "do not match kd/t within 4.0x: 4.0 points are missing (95 %: more than 4.0x)"),
    ],
)
def test_compute_to_match(build, kd, said) -> None:
    means = {"kd/t": kd, "tuned/1x": 19.0, "tuned/2x": 17.0, "tuned/4x": 14.0}
    errors = {name: mean + np.array([[0.0], [0.1], [-0.1]]) for name, mean in means.items()}
    (told,) = equal_compute(study(build, errors, {}, students=1))
    assert said in told["text"]
    assert [each["budget"] for each in told["lengths"]] == [1.0, 2.0, 4.0]


def rows(*effects: tuple[float, float, float]) -> list[dict[str, float]]:
    return [{"budget": 2.0**i, "effect": e, "low": low, "high": high}
            for i, (e, low, high) in enumerate(effects)]  # fmt: skip


def test_an_end_of_the_range_stops_at_the_first_test_that_fails() -> None:
    sure, open_, worse = (1.0, 0.5, 1.5), (0.2, -0.3, 0.7), (-1.0, -1.5, -0.5)
    found = match(rows(worse, sure, open_, sure))
    assert found is not None
    assert (found.above, found.by, found.about) == (1.0, 2.0, pytest.approx(2.0**0.5))
    assert (found.surely_above, found.surely_by) == (1.0, 8.0)  # not 2.0, beyond what is open
    turned = match(rows(worse, sure, worse, sure))
    assert turned is not None
    assert (turned.above, turned.by, turned.about, turned.surely_by) == (1.0, 8.0, None, 8.0)
    never = match(rows(open_, sure, worse))
    assert never is not None
    assert (never.above, never.by, never.surely_above, never.surely_by) == (None, None, None, None)
    assert never.in_words("kd").endswith("within 4.0x: 1.0 points are missing (95 %: nothing is "
                                         "sure)")  # fmt: skip
    assert match([{"budget": 1.0, "effect": None, "low": None, "high": None}]) is None


def test_the_range_to_match_is_as_sure_as_it_says(build) -> None:
    """The control is as good as distilled at each length, or a hair worse: 2.5 % a side."""
    rng, high, low, naive = np.random.default_rng(8), 0, 0, 0
    for _ in range(400):
        errors = drawn(rng, 4, students=1)
        val = {name: rng.normal(20.0, 1.0, each.shape) for name, each in errors.items()}
        (told,) = equal_compute(study(build, errors, val, students=1))
        high += told["match"]["surely_by"] is not None
        low += told["match"]["surely_above"] is not None
        naive += any(each["low"] > 0.0 for each in told["lengths"])
    most = 400 * 0.025 + 3 * (400 * 0.025 * 0.975) ** 0.5
    assert max(high, low) <= most
    assert naive > high  # the least length at which it is sure looks at all of them


def test_plans_take_the_spread_against_the_search(build) -> None:
    results = study(build, drawn(np.random.default_rng(9), 5), {})
    claims = ClaimsConfig.model_validate({"primary": {"c": CLAIM | {"account": "full"}}})
    (found,) = outlooks(claims, 5, 2, results)
    assert found.measured == 5
    assert found.bound is not None
    other = {"primary": {"c": {**CLAIM, "difference": ["kd/t", "else"], "account": "full"}}}
    assert outlooks(ClaimsConfig.model_validate(other), 5, 2, results)[0].measured == 0


def test_a_study_without_a_search_says_nothing_of_compute(build) -> None:
    assert equal_compute(build({"scratch": [[1.0]], "kd/t": [[2.0]]})) == []
