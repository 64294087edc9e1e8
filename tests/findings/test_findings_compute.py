"""The best control within a budget: chosen on validation, never on test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tutelage.config.schema import ClaimsConfig
from tutelage.findings import equal_compute, find
from tutelage.findings.compute import budget, within

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
        entry["searched"] = entry["name"] in CELLS
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
    assert "the best cell of tuned on validation that costs no more" in found.method


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
        (20.0, "takes no more than 1.0x"),
        (16.0, "takes between 2.0x and 4.0x"),
        (10.0, "do not match kd/t within 4.0x: 4.0 points are left there"),
    ],
)
def test_compute_to_match(build, kd, said) -> None:
    means = {"kd/t": kd, "tuned/1x": 19.0, "tuned/2x": 17.0, "tuned/4x": 14.0}
    errors = {name: mean + np.array([[0.0], [0.1], [-0.1]]) for name, mean in means.items()}
    (told,) = equal_compute(study(build, errors, {}, students=1))
    assert said in told["text"]
    assert [each["budget"] for each in told["lengths"]] == [1.0, 2.0, 4.0]


def test_a_study_without_a_search_says_nothing_of_compute(build) -> None:
    assert equal_compute(build({"scratch": [[1.0]], "kd/t": [[2.0]]})) == []
