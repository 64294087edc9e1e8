"""Teachers that are more than one network: what they resolve to, and what is refused."""

from __future__ import annotations

import pytest

from tutelage.config.design import MeanRef, PartsRef, ScaledRef, StagesRef, StateRef, states_in
from tutelage.errors import UserError

SMALL, LARGE = StateRef("small"), StateRef("large")


@pytest.fixture
def study(parts, expanded):
    """A function: the study with one more teacher, `it`, who teaches the one condition."""

    def build(conditions=None, **it):
        parts["teachers"]["it"] = it
        taught = conditions or {"kd": {"teacher": "it"}}
        return expanded(teachers=parts["teachers"], conditions=taught)

    return build


def test_an_ensemble_averages_its_members(study):
    found = study(ensemble=["small", "early", "large"]).teachers["it"]
    assert found.reference == MeanRef((SMALL, StateRef("early"), LARGE))
    assert found.made_of == "mean of small, early, large"
    assert not found.is_full


def test_an_ensemble_may_hold_scaled_teachers_and_be_scaled(study, parts):
    parts["teachers"]["soft"] = {"of": "large", "scale": {"entropy_of": "small"}}
    found = study(ensemble=["small", "soft"], scale="calibrated").teachers["it"]
    soft = ScaledRef(LARGE, SMALL, 4.0)
    assert found.reference == ScaledRef(MeanRef((SMALL, soft)))
    assert list(states_in(found.reference)) == [SMALL, LARGE, SMALL]
    assert found.scaled == "calibrated"


def test_a_schedule_is_heard_in_turn_until_the_stop(study):
    conditions = {"kd": {"teacher": "it"}, "eskd": {"teacher": "it", "distill_until": 6}}
    found = study(conditions, schedule=["small", "early", "large"])
    assert found.teachers["it"].reference == StagesRef((SMALL, StateRef("early"), LARGE))
    heard = [step.teacher for step in found.conditions["kd"].steps("a", "b", "c")]
    assert heard == ["a"] * 4 + ["b"] * 3 + ["c"] * 3
    heard = [step.teacher for step in found.conditions["eskd"].steps("a", "b", "c")]
    assert heard == ["a"] * 2 + ["b"] * 2 + ["c"] * 2 + [None] * 4


def test_after_the_stop_it_is_the_last_who_still_teaches(study):
    conditions = {"kd": {"teacher": "it", "distill_until": 4, "after": {"kd_weight": 0.1}}}
    found = study(conditions, schedule=["small", "large"]).conditions["kd"]
    assert [step.teacher for step in found.steps("a", "b")] == ["a"] * 2 + ["b"] * 8


@pytest.mark.parametrize("of", [True, False])
def test_cross_fitting_repeats_a_training_without_each_part(study, of):
    keys = {"of": "large"} if of else {"model": "plain-16-16"}
    found = study(cross_fit=3, **keys)
    name = "large" if of else "it"
    names = [f"{name}#{k}of3" for k in (1, 2, 3)]
    assert found.teachers["it"].reference == PartsRef(tuple(map(StateRef, names)))
    assert [found.trainings[each].part for each in names] == [(0, 3), (1, 3), (2, 3)]
    assert {found.trainings[each].model for each in names} == {"plain-16-16"}
    assert "it" not in found.trainings
    assert found.trainings["large"].part is None


def test_a_stopped_training_is_cross_fitted_as_it_is_stopped(study):
    found = study(of="large", stop={"truncated": 4}, cross_fit=2)
    assert [state.at for state in found.teachers["it"].reference.parts] == [4, 4]
    early = study(of="early", cross_fit=2)
    names = [state.training for state in early.teachers["it"].reference.parts]
    assert [early.trainings[each].recipe.epochs for each in names] == [2, 2]
    assert "compressed" in early.teachers["it"].stop


@pytest.mark.parametrize(
    ("keys", "where", "says"),
    [
        ({"ensemble": ["small", "larg"]}, "teachers.it", "unknown teacher 'larg'"),
        ({"ensemble": ["it"]}, "teachers.it", "circle: it -> it"),
        ({"ensemble": ["small"], "stop": "best_validation"}, "teachers.it.stop", "each of the"),
        ({"schedule": ["small"], "scale": "calibrated"}, "teachers.it.scale", "each of the"),
        ({"ensemble": ["small"], "cross_fit": 2}, "teachers.it.cross_fit", "each of the"),
        ({"schedule": ["small"], "recipe": {"epochs": 3}}, "teachers.it.recipe", "no effect"),
        ({"ensemble": ["small"], "teacher": "large"}, "teachers.it.teacher", "no effect"),
    ],
)
def test_what_has_no_meaning_is_refused(study, keys, where, says):
    with pytest.raises(UserError, match=says) as told:
        study(**keys)
    assert told.value.where == where


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({"schedule": ["small", "large"]}, {"ensemble": ["first", "small"]}, "heard in turns"),
        ({"schedule": ["small", "large"]}, {"schedule": ["first"]}, "heard in turns"),
        ({"schedule": ["small", "large"]}, {"of": "first", "scale": "calibrated"}, "in turns"),
        ({"ensemble": ["small", "large"]}, {"of": "first", "cross_fit": 2}, "more than one"),
        ({"ensemble": ["small", "large"]}, {"of": "first", "stop": {"truncated": 2}}, "more than"),
        ({"of": "large", "cross_fit": 2}, {"of": "first", "cross_fit": 2}, "more than one"),
        ({"of": "large", "scale": "calibrated"}, {"of": "first", "cross_fit": 2}, "scaled"),
        ({"of": "large", "cross_fit": 2}, {"model": "plain-4", "teacher": "first", "cross_fit": 2},
         "the parts of both"),
    ],
)  # fmt: skip
def test_what_cannot_be_nested_is_refused(study, parts, first, second, says):
    parts["teachers"]["first"] = first
    with pytest.raises(UserError, match=says):
        study(**second)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"distill_until": 2}, "of whom 2 would be heard in 2 epochs"),
        ({"distill_until": 0}, "of whom 0 would be heard in 0 epochs"),
        ({"recipe": {"epochs": 2}}, "it is 3 teachers in turn"),
    ],
)
def test_a_schedule_of_more_teachers_than_epochs_is_refused(study, condition, says):
    with pytest.raises(UserError, match=says) as told:
        study({"kd": {"teacher": "it", **condition}}, schedule=["small", "early", "large"])
    assert told.value.where == "conditions.kd.teacher"


@pytest.mark.parametrize("keys", [{"distill_until": 3},
                                  {"distill_until": 2, "after": {"kd_weight": 0.1}}])  # fmt: skip
def test_a_schedule_may_have_as_many_teachers_as_epochs(study, keys):
    found = study({"kd": {"teacher": "it", **keys}}, schedule=["small", "early", "large"])
    steps = found.conditions["kd"].steps("a", "b", "c")
    assert {step.teacher for step in steps if step.distils} == {"a", "b", "c"}


@pytest.mark.parametrize("mixed", [{"mixup": 0.2}, {"cutmix": 1.0}])
@pytest.mark.parametrize("it", [{"of": "crossed", "scale": "calibrated"},
                                {"ensemble": ["small", "crossed"]},
                                {"schedule": ["crossed", "large"]}])  # fmt: skip
def test_images_of_different_parts_are_not_mixed(study, parts, it, mixed):
    parts["teachers"]["crossed"] = {"of": "large", "cross_fit": 2}
    with pytest.raises(UserError, match="the cross-fitted it") as told:
        study({"kd": {"teacher": "it", "recipe": mixed}}, **it)
    assert told.value.where == "conditions.kd.recipe"
    parts["teachers"]["it"] = it
    plain = study({"kd": {"teacher": "small", "recipe": mixed}}, **it)
    assert plain.conditions["kd"].teacher == "small"
    parts["teachers"]["taught"] = {"model": "plain-4", "teacher": "it", "recipe": mixed}
    with pytest.raises(UserError, match="mixup and cutmix") as told:
        study({"kd": {"teacher": "small"}}, **it)
    assert told.value.where == "teachers.taught.recipe"


@pytest.mark.parametrize("keys", [{"ensemble": []}, {"schedule": []}, {"cross_fit": 1},
                                  {"ensemble": ["small"], "model": "plain-4"}])  # fmt: skip
def test_the_schema_refuses_empty_lists_and_two_kinds(study, keys):
    with pytest.raises(UserError, match=r"teachers\.it"):
        study(**keys)
