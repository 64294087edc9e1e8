"""Losses in a study: what they default to, what every epoch does, what is refused."""

from __future__ import annotations

import json

import pytest

from tutelage.config.canonical import canonical
from tutelage.config.load import validate
from tutelage.config.schema_losses import FEATURE_METHODS, METHODS, LossConfig
from tutelage.errors import UserError


def taught(expanded, epochs=10, **options):
    recipe = {"epochs": epochs, "batch_size": 50}
    conditions = {"c": {"teacher": "small", **options}}
    return expanded(conditions=conditions, recipe=recipe).conditions["c"]


def weights(training):
    return [(step.ce_weight, step.kd_weight) for step in training.steps("t")]


@pytest.mark.parametrize(
    ("loss", "form", "pair", "text"),
    [
        (None, {"kd": {"temperature": 4.0}}, (0.1, 0.9), "KD, temperature 4, weights 0.1/0.9"),
        ({"kd": {"temperature": 2}}, {"kd": {"temperature": 2}}, (0.1, 0.9),
         "KD, temperature 2, weights 0.1/0.9"),
        ({"kd": {}, "standardise": True}, {"kd": {"temperature": 2.0}, "standardise": True},
         (0.1, 9.0), "standardised KD, temperature 2, weights 0.1/9"),
        ({"kd": {"temperature": 3.0}, "standardise": True},
         {"kd": {"temperature": 3.0}, "standardise": True}, (0.1, 9.0),
         "standardised KD, temperature 3, weights 0.1/9"),
        ({"kd": {}, "standardise": False}, {"kd": {"temperature": 4.0}}, (0.1, 0.9),
         "KD, temperature 4, weights 0.1/0.9"),
        ("mse", {"mse": {}}, (0.0, 1.0), "logit MSE, weights 0/1"),
        ("dist", {"dist": {"temperature": 4, "inter_weight": 1, "intra_weight": 1}}, (1.0, 2.0),
         "DIST, temperature 4, inter weight 1, intra weight 1, weights 1/2"),
    ],
)  # fmt: skip
def test_what_a_condition_leaves_out_is_that_of_the_method(expanded, loss, form, pair, text):
    training = taught(expanded, **({"loss": loss} if loss else {}))
    assert {step.loss for step in training.steps("t")} == {canonical(form)}
    assert weights(training) == [pair] * 10
    assert training.loss_text == text


def test_the_name_alone_is_the_loss_with_its_defaults():
    for name in METHODS:
        assert LossConfig.model_validate(name) == LossConfig.model_validate({name: {}})
        assert LossConfig.model_validate(name).name == name


def test_weights_of_a_condition_win(expanded):
    training = taught(expanded, loss="mse", ce_weight=0.5, kd_weight=0.25)
    assert weights(training) == [(0.5, 0.25)] * 10


def test_dkd_rises_over_a_twelfth_of_the_schedule(expanded):
    training = taught(expanded, epochs=48, loss="dkd")
    found = weights(training)
    assert found[:5] == [(1.0, 0.25), (1.0, 0.5), (1.0, 0.75), (1.0, 1.0), (1.0, 1.0)]
    assert set(found[4:]) == {(1.0, 1.0)}
    assert training.loss_text == (
        "DKD, temperature 4, target weight 1, non-target weight 8, weights 1/1 after 4 epochs of "
        "rise"
    )


def test_any_loss_can_rise(expanded):
    found = weights(taught(expanded, kd_warmup=2, distill_until=0.5))
    assert found == [(0.1, 0.45)] + [(0.1, 0.9)] * 4 + [(1.0, 0.0)] * 5
    assert weights(taught(expanded, loss="dkd", kd_warmup=0)) == [(1.0, 1.0)] * 10
    falling = weights(taught(expanded, epochs=4, kd_warmup=2, decay="linear"))
    expected = [(0.1, 0.45), (0.325, 0.675), (0.55, 0.45), (0.775, 0.225)]
    assert falling == [pytest.approx(pair) for pair in expected]


def test_annealing_rises_to_one_and_leaves_the_labels_alone(expanded):
    training = taught(expanded, loss={"annealing": {"steps": 4}})
    steps = training.steps("t")
    factors = [json.loads(s.loss)["annealing"]["factor"] if s.loss else None for s in steps]
    # Eight of ten epochs, in four steps.
    assert factors == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0, None, None]
    assert weights(training) == [(0.0, 1.0)] * 8 + [(1.0, 0.0)] * 2


@pytest.mark.parametrize(("steps", "until"), [(1, 10), (7, 10), (10, 7), (100, 10), (29, 58)])
def test_annealing_never_falls_and_ends_at_one(expanded, steps, until):
    loss = {"annealing": {"steps": steps}}
    training = taught(expanded, epochs=until + 2, loss=loss, distill_until=until)
    factors = [json.loads(s.loss)["annealing"]["factor"] for s in training.steps("t")[:until]]
    assert factors == sorted(factors)
    assert factors[0] == 1 / steps
    assert factors[-1] >= 1 - until / steps
    if steps <= until:
        assert factors[-1] == 1.0
        assert len(set(factors)) == steps


def test_a_compressed_teacher_keeps_its_shares_of_the_schedule(expanded):
    recipe = {"epochs": 48, "batch_size": 50}
    teachers = {
        "small": {"model": "plain-8"},
        "second": {"model": "plain-4", "teacher": "small", "loss": "dkd", "distill_until": 0.5},
        "half": {"of": "second", "stop": {"compressed": 0.5}},
    }
    found = expanded(teachers=teachers, conditions={}, recipe=recipe).trainings
    assert (found["second"].until, found["second"].kd_warmup) == (24, 4)
    assert (found["half"].until, found["half"].kd_warmup) == (12, 2)


def test_a_loss_of_before_has_the_identity_that_it_had(expanded):
    (step, *_) = taught(expanded, loss={"kd": {"temperature": 4}}).steps("t")
    assert step.loss == '{"kd":{"temperature":4}}'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": {"kd": {}, "mse": {}}}, "loss needs exactly one of kd, mse, dist, dkd"),
        ({"loss": {"standardise": True}}, "found none"),
        ({"loss": {"dkd": {"non_target_weight": -1}}}, "conditions.c.loss.dkd.non_target_weight"),
        ({"loss": {"annealing": {"steps": 0}}}, "conditions.c.loss.annealing.steps"),
        ({"loss": {"dist": {"temprature": 1}}}, "temperature"),
        ({"loss": "dkt"}, "conditions.c.loss"),
        ({"kd_warmup": 6, "distill_until": 5}, "a rise of 6 epochs is longer than"),
    ],
)
def test_mistakes_are_told_with_their_key(expanded, changes, words):
    with pytest.raises(UserError) as caught:
        taught(expanded, **changes)
    assert words in str(caught.value)


def test_without_a_teacher_nothing_rises(expanded):
    with pytest.raises(UserError, match="kd_warmup needs a teacher"):
        expanded(conditions={"c": {"kd_warmup": 3}})


def test_the_schema_knows_a_loss_by_its_name(parts):
    from tutelage.config.schema import StudyConfig

    schema = StudyConfig.model_json_schema()["$defs"]["LossConfig"]
    assert {"enum": [*METHODS, *FEATURE_METHODS]} in schema["anyOf"]
    parts["conditions"]["kd"]["loss"] = "dist"
    assert validate(parts).conditions["kd"].loss == LossConfig.model_validate({"dist": {}})


@pytest.mark.parametrize(
    ("loss", "weight", "form"),
    [
        ("fitnets", 100.0, {}),
        ("sp", 3000.0, {}),
        ("rkd", 1.0, {"distance_weight": 25, "angle_weight": 50}),
        ("crd", 0.8, {"dimensions": 128, "temperature": 0.07, "momentum": 0.5}),
        ("at", 1000.0, {}),
    ],
)
def test_a_loss_of_features_has_its_weight_beside_one_for_labels(expanded, loss, weight, form):
    steps = taught(expanded, loss=loss).steps("t")
    assert {step.features for step in steps} == {canonical({loss: form | {"weight": weight}})}
    assert {(step.ce_weight, step.kd_weight, step.loss) for step in steps} == {(1.0, 0.0, None)}
    assert steps[0].feature_losses == (loss,)


def test_losses_of_features_go_together_and_each_weight_moves_by_itself(expanded):
    training = taught(
        expanded, epochs=4, loss={"kd": {}, "sp": {}, "crd": {"negatives": 9}}, sp_weight=8.0,
        decay="linear", distill_until=4, after={"crd_weight": 0.4},
    )  # fmt: skip
    steps = training.steps("t")
    forms = [json.loads(step.features) for step in steps]
    assert [form["sp"]["weight"] for form in forms] == [8, 6, 4, 2]
    assert [form["crd"]["weight"] for form in forms] == pytest.approx([0.8, 0.7, 0.6, 0.5])
    assert {form["crd"]["negatives"] for form in forms} == {9}
    assert {step.feature_losses for step in steps} == {("crd", "sp")}
    assert training.loss_text == (
        "KD, temperature 4, and SP and CRD negatives 9, weights 0.1/0.9/8/0.8 until epoch 4, "
        "falling linearly to 1/0/0/0.4"
    )
    assert list(training.features) == ["sp", "crd"]
    assert taught(expanded, loss={"kd": {}, "sp": {}}, sp_weight=0.0).features == {}


def test_weights_that_are_new_are_not_written_down_where_they_are_nothing():
    from tutelage.config.schema import Weights

    first = {"ce_weight": 1.0, "kd_weight": 0.0, "at_weight": 0.0}
    assert Weights().model_dump() == first
    assert Weights(sp_weight=2.0).model_dump(mode="json") == first | {"sp_weight": 2.0}
    assert Weights.model_validate(Weights(crd_weight=2.0).model_dump()) == Weights(crd_weight=2.0)
