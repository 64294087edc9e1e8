"""Expansion: teachers of every kind, inheritance, circles, keys without effect, controls."""

from __future__ import annotations

import json

import pytest

from tutelage.config.design import ScaledRef, StateRef, states_in
from tutelage.config.expand import expand
from tutelage.config.load import validate
from tutelage.config.schema import LossConfig, Weights
from tutelage.errors import UserError
from tutelage.study.plan import make_plan

LARGE = {"model": "plain-16-16"}


def refused(expanded, words, **changes):
    with pytest.raises(UserError, match=words) as caught:
        expanded(**changes)
    return caught.value


# --- teachers ------------------------------------------------------------------------------------


def test_a_model_is_trained_to_its_end(expanded):
    found = expanded(teachers={"t": LARGE}, conditions={})
    teacher, training = found.teachers["t"], found.trainings["t"]
    assert teacher.reference == StateRef("t", "final")
    assert (teacher.stop, teacher.scaled, teacher.taught_by) == ("full", None, None)
    assert teacher.is_full
    assert (training.model, training.recipe.epochs, training.teacher) == ("plain-16-16", 10, None)
    assert training.loss_text == "cross-entropy"


@pytest.mark.parametrize(
    ("stop", "at", "words"),
    [
        ({"truncated": 1}, 1, "truncated at epoch 1 of 10"),
        ({"truncated": 1.0}, "final", "truncated at epoch 10 of 10"),
        ({"truncated": 0.25}, 3, "truncated at epoch 3 of 10"),
        ({"truncated": 10}, "final", "truncated at epoch 10 of 10"),
        ("best_validation", "best", "best on validation"),
    ],
)
def test_a_stop_along_the_way_is_a_state_of_the_full_training(expanded, stop, at, words):
    found = expanded(teachers={"t": LARGE, "s": {"of": "t", "stop": stop}}, conditions={})
    assert found.teachers["s"].reference == StateRef("t", at)
    assert found.teachers["s"].stop == words
    assert not found.teachers["s"].is_full
    assert list(found.trainings) == ["t"]  # nothing more is trained


@pytest.mark.parametrize(
    ("how", "epochs", "decays", "words"),
    [
        (0.5, 5, [2, 3], "compressed 0.5 (5 epochs)"),
        ("2/8", 8, [2, 4, 6], "compressed 2/8 (8 epochs)"),
    ],
)
def test_a_compressed_stop_is_a_training_of_its_own(expanded, how, epochs, decays, words):
    teachers = {"t": LARGE, "s": {"of": "t", "stop": {"compressed": how}}}
    found = expanded(teachers=teachers, conditions={})
    assert found.teachers["s"].reference == StateRef("s", "final")
    assert found.teachers["s"].stop == words
    assert found.trainings["s"].recipe.epochs == epochs
    assert found.trainings["s"].recipe.decays == decays
    assert found.trainings["s"].model == "plain-16-16"
    assert found.trainings["t"].recipe.epochs == 10


def test_a_model_with_a_stop_trains_only_what_the_stop_needs(expanded):
    compressed = expanded(teachers={"t": LARGE | {"stop": {"compressed": 0.5}}}, conditions={})
    assert compressed.trainings["t"].recipe.epochs == 5
    truncated = expanded(teachers={"t": LARGE | {"stop": {"truncated": 0.5}}}, conditions={})
    assert truncated.trainings["t"].recipe.epochs == 10
    assert truncated.teachers["t"].reference == StateRef("t", 5)


def test_scales_wrap_the_reference_that_they_scale(expanded):
    teachers = {
        "t": LARGE,
        "s": {"of": "t", "stop": {"truncated": 4}},
        "c": {"of": "t", "scale": "calibrated"},
        "m": {"of": "s", "scale": {"entropy_of": "t"}},
        "both": {"of": "t", "stop": {"truncated": 4},
                 "scale": {"entropy_of": "t", "temperature": 2}},
        "own": {"model": "plain-8", "scale": "calibrated"},
    }  # fmt: skip
    found = expanded(teachers=teachers, conditions={})
    full, early = StateRef("t"), StateRef("t", 4)
    assert found.teachers["c"].reference == ScaledRef(full)
    assert found.teachers["c"].scaled == "calibrated"
    assert found.teachers["m"].reference == ScaledRef(early, full, 4.0)
    assert found.teachers["m"].scaled == "entropy of t at T 4"
    assert found.teachers["m"].stop == "truncated at epoch 4 of 10"
    assert found.teachers["both"].reference == ScaledRef(early, full, 2.0)
    assert found.teachers["own"].reference == ScaledRef(StateRef("own"))
    assert set(states_in(found.teachers["m"].reference)) == {early, full}
    assert [name for name, teacher in found.teachers.items() if teacher.is_full] == ["t"]


def test_teachers_may_be_taught_and_chains_are_resolved_in_any_order(expanded):
    teachers = {
        "third": {"model": "plain-4", "teacher": "second", "distill_until": 0.5},
        "second": {"model": "plain-8", "teacher": "first", "kd_weight": 0.5},
        "first": LARGE,
    }
    found = expanded(teachers=teachers, conditions={"kd": {"teacher": "third"}})
    third, second = found.trainings["third"], found.trainings["second"]
    assert (third.teacher, third.until) == ("second", 5)
    assert (second.teacher, second.until) == ("first", 10)
    assert second.weights == Weights(ce_weight=0.1, kd_weight=0.5)
    assert found.teachers["third"].taught_by == "second"
    assert found.teachers["first"].is_full
    assert not found.teachers["second"].is_full


@pytest.mark.parametrize(("until", "shorter"), [(0.6, 3), (5, 3), (1.0, 5), (0, 0)])
def test_a_stop_of_a_taught_teacher_keeps_the_share_during_which_it_is_taught(
    expanded, until, shorter
):
    teachers = {
        "t": LARGE,
        "u": {"model": "plain-8", "teacher": "t", "distill_until": until},
        "s": {"of": "u", "stop": {"compressed": 0.5}},
    }
    found = expanded(teachers=teachers, conditions={})
    short = found.trainings["s"]
    assert (short.teacher, short.until, short.recipe.epochs) == ("t", shorter, 5)
    assert found.teachers["s"].taught_by == "t"


@pytest.mark.parametrize(
    "stop", [{"truncated": 3}, {"compressed": 0.5}, {"truncated": 1.0}, "best_validation"]
)
@pytest.mark.parametrize("again", [{"truncated": 2}, {"compressed": 0.5}, "best_validation"])
def test_a_stopped_teacher_is_not_stopped_again(expanded, stop, again):
    teachers = {"t": LARGE, "s": {"of": "t", "stop": stop}, "r": {"of": "s", "stop": again}}
    error = refused(expanded, "already stopped or scaled", teachers=teachers, conditions={})
    assert error.where == "teachers.r.stop"


def test_a_scaled_teacher_is_neither_stopped_nor_scaled_again(expanded):
    base = {"t": LARGE, "c": {"of": "t", "scale": "calibrated"}}
    for again, where in (
        ({"stop": {"truncated": 2}}, "teachers.r.stop"),
        ({"scale": "calibrated"}, "teachers.r.scale"),
        ({"scale": {"entropy_of": "t"}}, "teachers.r.scale"),
    ):
        error = refused(expanded, "already", teachers=base | {"r": {"of": "c"} | again},
                        conditions={})  # fmt: skip
        assert error.where == where


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ({"truncated": 11}, "a stop after 11 epochs does not lie within the 10 trained"),
        ({"truncated": 0}, "a stop after 0 epochs"),
        ({"truncated": 0.01}, "a stop after 0 epochs"),
        ({"compressed": "10/35"}, "longer than the 10 epochs"),
    ],
)
def test_a_stop_beyond_the_schedule_is_refused(expanded, stop, words):
    teachers = {"t": LARGE | {"stop": stop}}
    error = refused(expanded, words, teachers=teachers, conditions={})
    assert error.where == f"teachers.t.stop.{next(iter(stop))}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loss", {"kd": {}}),
        ("ce_weight", 0.5),
        ("kd_weight", 0.5),
        ("distill_until", 1),
        ("decay", "linear"),
        ("after", {}),
        ("recipe", {"epochs": 3}),
        ("teacher", "u"),
    ],
)
def test_keys_of_training_have_no_effect_on_a_variant_and_are_refused(expanded, key, value):
    teachers = {"t": LARGE, "u": LARGE, "v": {"of": "t", "scale": "calibrated", key: value}}
    error = refused(expanded, "has no effect", teachers=teachers, conditions={})
    assert error.where == f"teachers.v.{key}"


@pytest.mark.parametrize(
    ("teachers", "circle"),
    [
        ({"a": {"model": "plain-4", "teacher": "a"}}, "a -> a"),
        ({"a": {"of": "a", "scale": "calibrated"}}, "a -> a"),
        ({"a": {"model": "plain-4", "scale": {"entropy_of": "a"}}}, "a -> a"),
        (
            {
                "a": {"model": "plain-4", "teacher": "b"},
                "b": {"of": "c", "stop": "best_validation"},
                "c": {"model": "plain-4", "scale": {"entropy_of": "a"}},
            },
            "a -> b -> c -> a",
        ),
    ],
)
def test_teachers_in_a_circle_are_refused(expanded, teachers, circle):
    error = refused(expanded, f"in a circle: {circle}", teachers=teachers, conditions={})
    assert error.where.startswith("teachers.")


@pytest.mark.parametrize(
    ("teacher", "where"),
    [
        ({"of": "larg", "scale": "calibrated"}, "teachers.x"),
        ({"model": "plain-4", "teacher": "larg"}, "teachers.x"),
        ({"of": "large", "scale": {"entropy_of": "larg"}}, "teachers.x"),
    ],
)
def test_an_unknown_teacher_gets_the_nearest(expanded, teacher, where):
    error = refused(
        expanded, "unknown teacher 'larg'", teachers={"x": teacher, "large": LARGE}, conditions={}
    )
    assert error.where == where
    assert "Did you mean 'large'?" in error.fix


# --- conditions ----------------------------------------------------------------------------------


def test_a_list_of_teachers_is_one_condition_for_each(expanded):
    found = expanded(conditions={"kd": {"teacher": ["small", "early"]}, "one": {"teacher": "large"},
                                 "listed": {"teacher": ["large"]}})  # fmt: skip
    assert list(found.conditions) == ["scratch", "kd/small", "kd/early", "one", "listed/large"]
    assert found.conditions["kd/early"].group == "kd"
    assert found.conditions["kd/early"].teacher == "early"
    assert {t.model for t in found.conditions.values()} == {"plain-4-4"}


def test_defaults_of_a_taught_condition(expanded):
    kd = expanded(conditions={"kd": {"teacher": "large"}}).conditions["kd"]
    assert kd.weights == Weights(ce_weight=0.1, kd_weight=0.9)
    assert kd.loss == LossConfig.model_validate({"kd": {"temperature": 4.0}})
    assert (kd.until, kd.decay, kd.after) == (10, "none", Weights())
    assert kd.loss_text == "KD, temperature 4, weights 0.1/0.9"


def test_an_unknown_teacher_of_a_condition_gets_the_nearest(expanded):
    error = refused(expanded, "unknown teacher 'smal'", conditions={"kd": {"teacher": ["smal"]}})
    assert (error.where, "Did you mean 'small'?" in error.fix) == ("conditions.kd.teacher", True)


def test_extending_keeps_what_is_not_said_anew(expanded):
    conditions = {
        "last": {"extends": "middle", "decay": "linear", "recipe": {"clip_norm": 1.0}},
        "middle": {"extends": "first", "ce_weight": 0.3, "recipe": {"epochs": 20}},
        "first": {
            "teacher": "large",
            "loss": {"kd": {"temperature": 2}},
            "kd_weight": 0.6,
            "distill_until": 0.5,
            "recipe": {"batch_size": 20, "epochs": 30},
            "student": {"model": "plain-4"},
        },
    }
    found = expanded(conditions=conditions)
    last, first = found.conditions["last"], found.conditions["first"]
    assert (last.teacher, last.model, last.decay) == ("large", "plain-4", "linear")
    assert last.weights == Weights(ce_weight=0.3, kd_weight=0.6)
    assert last.loss == LossConfig.model_validate({"kd": {"temperature": 2}})
    assert (last.recipe.epochs, last.recipe.batch_size, last.recipe.clip_norm) == (20, 20, 1.0)
    assert last.until == 10  # half of its own epochs
    assert (first.recipe.epochs, first.recipe.clip_norm, first.until) == (30, None, 15)
    assert (first.weights, first.decay) == (Weights(ce_weight=0.1, kd_weight=0.6), "none")


def test_null_is_a_key_left_out_also_after_the_study_was_written_down(parts):
    parts["conditions"]["eskd"]["ce_weight"] = None
    parts["conditions"]["kd"]["ce_weight"] = 0.4
    config = validate(parts)
    again = validate(json.loads(json.dumps(config.model_dump(mode="json", exclude_none=True))))
    assert expand(config).conditions["eskd"].weights.ce_weight == 0.4
    assert expand(again) == expand(config)


@pytest.mark.parametrize(
    ("conditions", "circle"),
    [
        ({"a": {"extends": "a"}}, "a -> a"),
        ({"a": {"extends": "b"}, "b": {"extends": "a"}}, "a -> b -> a"),
        (
            {"a": {"extends": "b"}, "b": {"extends": "c"}, "c": {"extends": "b"}},
            "a -> b -> c -> b",
        ),
    ],
)
def test_conditions_that_extend_each_other_in_a_circle_are_refused(expanded, conditions, circle):
    error = refused(expanded, f"in a circle: {circle}", conditions=conditions)
    assert error.where.endswith(".extends")


def test_extending_what_does_not_exist_gets_the_nearest(expanded):
    conditions = {"base": {"teacher": "large"}, "a": {"extends": "bas"}}
    error = refused(expanded, "unknown condition 'bas'", conditions=conditions)
    assert (error.where, "'base'" in error.fix) == ("conditions.a.extends", True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loss", {"kd": {}}),
        ("kd_weight", 0.9),
        ("distill_until", 0.5),
        ("decay", "linear"),
        ("after", {}),
    ],
)
def test_keys_of_distillation_need_a_teacher(expanded, key, value):
    error = refused(expanded, f"{key} needs a teacher", conditions={"c": {key: value}})
    assert error.where == f"conditions.c.{key}"


@pytest.mark.parametrize(
    ("condition", "where", "words"),
    [
        ({"distill_until": 11}, "distill_until", "until epoch 11 lies beyond the 10 epochs"),
        ({"after": {"ce_weight": 0.5}}, "after", "after needs distill_until"),
        ({"ce_weight": 0, "kd_weight": 0}, "kd_weight", "nothing is learned"),
        (
            {"distill_until": 0.5, "after": {"ce_weight": 0, "kd_weight": 0}},
            "after",
            "nothing is learned",
        ),
        ({"recipe": {"epochs": 5, "schedule": {"steps": [7]}}}, "recipe", "beyond the 5"),
        ({"recipe": "paper"}, "recipe", "unknown recipe 'paper'"),
    ],
)
def test_what_a_condition_cannot_mean_is_refused(expanded, condition, where, words):
    error = refused(expanded, words, conditions={"c": {"teacher": "large"} | condition})
    assert error.where == f"conditions.c.{where}"


def test_weight_nought_without_a_teacher_learns_nothing(expanded):
    refused(expanded, "nothing is learned", conditions={"c": {"ce_weight": 0}})


def test_a_fault_of_the_studys_recipe_is_told_as_its_own(expanded):
    assert refused(expanded, "no number of epochs", recipe={}).where == "recipe"


# --- the scratch control -------------------------------------------------------------------------


def test_a_scratch_control_is_always_there(expanded):
    for conditions in ({}, {"kd": {"teacher": "large"}}):
        scratch = expanded(conditions=conditions).conditions["scratch"]
        assert (scratch.model, scratch.teacher) == ("plain-4-4", None)
        assert scratch.weights == Weights(ce_weight=1.0, kd_weight=0.0)
        assert scratch.recipe.epochs == 10


def test_every_student_model_has_its_control_and_only_one(expanded):
    conditions = {
        "kd": {"teacher": "large"},
        "wide": {"teacher": "large", "student": {"model": "plain-6-6"}},
        "alone": {},
    }
    found = expanded(conditions=conditions)
    without = {name: t.model for name, t in found.conditions.items() if t.teacher is None}
    assert without == {"alone": "plain-4-4", "scratch": "plain-6-6"}


def test_two_models_without_control_get_two(expanded):
    conditions = {
        "kd": {"teacher": "large"},
        "wide": {"teacher": "large", "student": {"model": "plain-6-6"}},
    }
    found = expanded(conditions=conditions)
    without = {t.model for t in found.conditions.values() if t.teacher is None}
    assert without == {"plain-4-4", "plain-6-6"}


def test_a_taught_condition_may_not_take_the_place_of_the_control(expanded):
    conditions = {"scratch": {"teacher": "large"}, "scratch-plain-4-4": {"teacher": "small"}}
    error = refused(expanded, "name of the control", conditions=conditions)
    assert error.where == "conditions.scratch-plain-4-4"
    found = expanded(conditions={"scratch": {"teacher": "large"}})
    assert found.conditions["scratch-plain-4-4"].teacher is None


# --- claims --------------------------------------------------------------------------------------


def claim(expanded, **keys):
    return expanded(claims={"secondary": {"c": {"margin": 0.5, **keys}}})


@pytest.mark.parametrize(
    "keys",
    [
        {"difference": ["kd/early", "scratch"], "direction": "less"},
        {"difference": ["eskd", "kd/large"], "direction": "greater", "metric": "test_nll"},
        {"non_inferiority": ["kd/small", "kd/large"], "metric": "train_kl_shape"},
        {"equivalence": ["kd/small", "kd/large"], "metric": "train_kl_shape_t1"},
        {"trend": {"within": "kd"}, "direction": "increasing"},
        {"trend": {"within": ["kd/early", "eskd"], "of": "train_kl"}, "direction": "decreasing"},
    ],
)
def test_claims_of_every_kind_are_taken(expanded, keys):
    assert "scratch" in claim(expanded, **keys).conditions


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"difference": ["kd/earl", "scratch"], "direction": "less"}, "condition 'kd/earl'"),
        ({"difference": ["kd", "scratch"], "direction": "less"}, "unknown condition 'kd'"),
        ({"equivalence": ["eskd", "kd/large"], "metric": "tst_error"}, "metric 'tst_error'"),
        ({"equivalence": ["eskd", "kd/large"], "metric": "val_kl"}, "unknown metric 'val_kl'"),
        ({"trend": {"within": "kq"}, "direction": "increasing"}, "group of conditions 'kq'"),
        ({"trend": {"within": "eskd"}, "direction": "increasing"}, "at least two fully trained"),
        ({"trend": {"within": ["eskd", "kd/x"]}, "direction": "increasing"}, "condition 'kd/x'"),
        ({"trend": {"within": "kd", "of": "loss"}, "direction": "increasing"}, "metric 'loss'"),
    ],
)
def test_what_a_claim_names_must_exist(expanded, keys, words):
    with pytest.raises(UserError, match=words) as caught:
        claim(expanded, **keys)
    assert caught.value.where == "claims.secondary.c"


@pytest.mark.parametrize(
    ("best", "words"),
    [
        ({"of": "kd"}, None),
        ({"of": ["scratch", "kd/early", "eskd"]}, None),
        ({"of": "kd", "over": "teacher_parameters"}, None),
        ({"of": "eskd"}, "at least three different conditions"),
        ({"of": ["eskd", "eskd", "kd/early"]}, "at least three different conditions"),
        ({"of": "kq"}, "group of conditions 'kq'"),
        ({"of": ["eskd", "kd/x", "kd/early"]}, "condition 'kd/x'"),
        (
            {"of": ["scratch", "kd/early", "eskd"], "over": "teacher_error"},
            "a best over teachers names scratch, which has none",
        ),
    ],
)
def test_the_best_of_a_family_is_named(expanded, best, words):
    claims = {"secondary": {"c": {"best": best}}}
    if words is None:
        assert "scratch" in expanded(claims=claims).conditions
        return
    with pytest.raises(UserError, match=words) as caught:
        expanded(claims=claims)
    assert caught.value.where == "claims.secondary.c"


@pytest.mark.parametrize(
    ("of", "words"),
    [
        ("kd", None),
        (["eskd", "kd/small", "kd/early"], None),
        ("eskd", "a prediction needs at least three different conditions"),
        (["eskd", "eskd", "kd/early"], "at least three different conditions"),
        ("kq", "group of conditions 'kq'"),
        (["eskd", "kd/x", "kd/early"], "condition 'kd/x'"),
        (["scratch", "kd/early", "eskd"], "a prediction over teachers names scratch"),
        (
            ["kd/small", "wider", "eskd"],
            "predicts over two students: kd/small has plain-4-4, wider",
        ),
    ],
)
def test_a_prediction_is_over_conditions_with_teachers_and_one_student(expanded, parts, of, words):
    parts["conditions"]["wider"] = {"extends": "eskd", "student": {"model": "plain-8"}}
    claims = {"secondary": {"c": {"prediction": {"by": "teacher_nll", "of": of}, "margin": 0.5}}}
    if words is None:
        assert "scratch" in expanded(claims=claims).conditions
        return
    with pytest.raises(UserError, match=words) as caught:
        expanded(claims=claims)
    assert caught.value.where == "claims.secondary.c"


def test_what_an_exploratory_claim_names_must_exist_as_well(expanded):
    pair = {"difference": ["kd/earl", "scratch"], "direction": "less", "margin": 0.5}
    with pytest.raises(UserError, match="condition 'kd/earl'") as caught:
        expanded(claims={"exploratory": {"c": pair}})
    assert caught.value.where == "claims.exploratory.c"


def test_no_condition_is_called_teacher(expanded):
    """Its runs would have the keys of teachers."""
    refused(expanded, "called teacher", conditions={"teacher": {}})


def test_six_cooldown_stops_cost_at_most_1_6_times_one_long_run(parts):
    at = {f"t{n}": {"of": "large", "stop": {"cooldown": n / 6}} for n in range(1, 7)}
    config = validate(
        parts | {"teachers": {"large": LARGE, **at}, "conditions": {}, "claims": {},
                 "recipe": {"epochs": 60, "schedule": {"steps": [0.5]}}}
    )  # fmt: skip
    plan = make_plan(config, expand(config), ["0" * 64] * 2, "cpu")
    ours = [n for n in plan.nodes.values() if n.replicate == 0 and n.training.name in at]
    assert sorted(n.training.recipe.epochs for n in ours) == [16, 26, 36, 46, 56, 66]
    assert sum(n.training.recipe.epochs - n.shared for n in ours) <= 1.6 * 60
    stops = {name: teacher.stop for name, teacher in expand(config).teachers.items()}
    assert stops["t3"] == "cooled down from epoch 30 (36 epochs)"


def test_a_cooldown_beyond_the_training(expanded):
    for stop in ({"cooldown": 11}, {"cooldown": 0}):
        teachers = {"t": LARGE, "s": {"of": "t", "stop": stop}}
        error = refused(expanded, "does not lie within the 10", teachers=teachers, conditions={})
        assert error.where == "teachers.s.stop.cooldown"
