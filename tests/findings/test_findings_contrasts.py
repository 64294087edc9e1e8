"""Differences between differences, teachers compared by their own figures, and short runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tutelage.config.load import validate
from tutelage.config.schema import ClaimsConfig
from tutelage.errors import UserError
from tutelage.findings import Finding, find
from tutelage.findings.intervals import t_interval

LARGE_KD = np.array([11.0, 11.4, 10.8, 11.1])
SMALL_KD = np.array([10.0, 10.1, 10.2, 9.9])
LARGE_DKD = np.array([10.2, 10.0, 10.1, 9.8])
SMALL_DKD = np.array([10.1, 10.3, 9.9, 10.0])
CLAIM = {"difference": ["dkd/large", "dkd/small"], "minus": ["kd/large", "kd/small"],
         "direction": "less", "margin": 0.5}  # fmt: skip


def one(results: dict[str, Any], claim: dict[str, Any]) -> Finding:
    (found,) = find(results, ClaimsConfig.model_validate({"primary": {"c": claim}}))
    return found


@pytest.fixture
def interaction(build) -> dict[str, Any]:
    columns = {"kd/large": LARGE_KD, "kd/small": SMALL_KD,
               "dkd/large": LARGE_DKD, "dkd/small": SMALL_DKD}  # fmt: skip
    return build({name: [[v] for v in values] for name, values in columns.items()})


def test_an_interaction_is_one_difference_minus_another_replicate_by_replicate(interaction) -> None:
    found = one(interaction, CLAIM)
    values = (LARGE_DKD - SMALL_DKD) - (LARGE_KD - SMALL_KD)
    assert found.effect == pytest.approx(values.mean())
    low, high = t_interval(values.tolist(), 0.95)[-2:]
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.verdict == "supported"
    assert "dkd/large minus dkd/small has 1." in found.sentence
    assert "less test error than kd/large minus kd/small" in found.sentence
    assert "differences between two differences" in found.method


def test_the_other_way_round_it_has_the_other_sign(interaction) -> None:
    pairs = {"difference": CLAIM["minus"], "minus": CLAIM["difference"]}
    found = one(interaction, CLAIM | pairs)
    assert found.effect == pytest.approx(-one(interaction, CLAIM).effect)
    assert found.verdict == "refuted"


def test_a_replicate_without_one_of_the_four_is_left_out(interaction, row) -> None:
    row(interaction, "r1/kd/small/s0")["status"] = "pending"
    found = one(interaction, CLAIM)
    kept = [0, 2, 3]
    values = (LARGE_DKD - SMALL_DKD)[kept] - (LARGE_KD - SMALL_KD)[kept]
    assert (found.n, found.effect) == (3, pytest.approx(values.mean()))


def test_two_pairs_may_share_a_condition(build) -> None:
    columns = {"a": [1.0, 2.0, 3.0], "b": [0.0, 0.0, 0.0], "c": [3.0, 3.0, 4.0]}
    results = build({name: [[v] for v in values] for name, values in columns.items()})
    claim = {"difference": ["a", "b"], "minus": ["c", "b"], "direction": "less", "margin": 0.1}
    assert one(results, claim).effect == pytest.approx(-4 / 3)


def test_teachers_are_compared_by_their_own_figures(build, teacher) -> None:
    mine, theirs = [9.0, 8.8, 9.1, 9.2], [10.0, 10.1, 9.8, None]
    teachers = [teacher("born", [0.0] * 4, test_error=mine), teacher("alone", [0.0] * 4,
                test_error=theirs)]  # fmt: skip
    results = build({"kd/born": [[1.0]] * 4, "kd/alone": [[2.0]] * 4}, teachers=teachers)
    claim = {"difference": ["born", "alone"], "between": "teachers", "direction": "less",
             "margin": 0.5}  # fmt: skip
    found = one(results, claim)
    assert (found.n, found.effect) == (3, pytest.approx(np.mean([-1.0, -1.3, -0.7])))
    assert "3 of 4 replicates" in found.sentence
    assert "two teachers' own figures" in found.method


def test_a_short_run_chooses_by_the_validation_error_of_its_students(build) -> None:
    errors = {
        "kd/a": [[10.0, 10.0], [10.0, 10.0]], "kd/b": [[12.0, 12.0], [12.0, 12.0]],
        "kd/c": [[14.0, 14.0], [14.0, 14.0]], "short/a": [[30.0, 30.0], [31.0, 31.0]],
        "short/b": [[20.0, 20.0], [40.0, 40.0]], "short/c": [[50.0, 50.0], [50.0, 50.0]],
    }  # fmt: skip
    results = build(errors, teachers=[])
    for run in results["runs"]:
        run["val_error"] = run["test_error"]
    prediction = {"by": "short_run", "short": "short", "of": "kd"}
    found = one(results, {"prediction": prediction, "margin": 0.5})
    # Replicate 0 takes b, which costs 2 points; replicate 1 takes a, the best.
    assert found.effect == pytest.approx(1.0)
    assert found.prediction is not None
    assert found.prediction["chosen"] == {"kd/a": 1.0, "kd/b": 1.0, "kd/c": 0.0}
    assert "the least validation error of a short run (short)" in found.sentence


BASE = {
    "name": "tiny",
    "data": {"source": "digits"},
    "recipe": {"epochs": 4, "batch_size": 50},
    "student": {"model": "plain-4-4"},
    "teachers": {"a": {"model": "plain-4-4"}, "b": {"model": "plain-8-8"},
                 "c": {"model": "plain-8-8", "member": 1}},
    "conditions": {"kd": {"teacher": ["a", "b", "c"]}, "short": {"extends": "kd",
                   "teacher": ["a", "b"]}},
}  # fmt: skip
PAIR = {"difference": ["kd/a", "kd/b"], "direction": "less", "margin": 0.5}


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (PAIR | {"minus": ["kd/a", "kd/b"]}, "another pair of conditions"),
        (PAIR | {"minus": ["kd/a", "kd/a"]}, "minus compares kd/a with itself"),
        (PAIR | {"minus": ["kd/a", "kd/x"]}, "unknown condition 'kd/x'"),
        (PAIR | {"minus": ["kd/a", "kd/c"], "also": [["kd/b", "kd/c"]]}, "without also"),
        ({"equivalence": ["kd/a", "kd/b"], "minus": ["kd/a", "kd/c"], "margin": 1.0},
         "minus takes a difference"),
        (PAIR | {"between": "teachers"}, "unknown teacher 'kd/a'"),
        (PAIR | {"difference": ["a", "b"], "between": "teachers", "metric": "train_error"},
         "validation and test images alone"),
        ({"prediction": {"by": "short_run", "of": "kd"}, "margin": 1.0}, "go together"),
        ({"prediction": {"by": "teacher_nll", "short": "short", "of": "kd"}, "margin": 1.0},
         "go together"),
        ({"prediction": {"by": "short_run", "short": "shrt", "of": "kd"}, "margin": 1.0},
         "unknown group of conditions 'shrt'"),
        ({"prediction": {"by": "short_run", "short": "short", "of": "kd"}, "margin": 1.0},
         "short has no student like that of kd/c"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(claim, words) -> None:
    from tutelage.config.expand import expand

    with pytest.raises(UserError, match=words):
        expand(validate(BASE | {"claims": {"primary": {"c": claim}}}))


def test_members_differ_in_their_seeds_and_the_first_is_the_one_of_before() -> None:
    from tutelage.config.expand import expand
    from tutelage.study.plan import make_plan, teacher_key

    config = validate(BASE | {"replicates": {"count": 1, "students": 1}})
    nodes = make_plan(config, expand(config), ["data"], "cpu").nodes
    a, b, c = (nodes[teacher_key(0, name)].start for name in "abc")
    assert (a.init_seed, a.stream_seed) == (b.init_seed, b.stream_seed)
    assert c.init_seed != b.init_seed
    assert c.stream_seed != b.stream_seed
    students = {n.start.init_seed for n in nodes.values() if n.role == "student"}
    assert c.init_seed not in students
