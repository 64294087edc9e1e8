"""An adaptive stop in a study: what its epochs say, and what is refused."""

from __future__ import annotations

import json

import pytest

from tutelage.config.load import validate
from tutelage.errors import UserError

TEACHER = "the teacher's identity"


@pytest.fixture
def condition(expanded):
    """A function: a condition taught by `large` over 10 epochs, whose rate falls after 3 and 6."""

    def build(name="c", **keys):
        return expanded(conditions={name: {"teacher": "large", **keys}}).conditions[name]

    return build


def adaptive(signal="gradients", **options):
    return {"distill_until": {"adaptive": signal, **options}}


def test_epochs_are_those_of_kd_until_the_rule_watches(condition):
    plain = condition().steps(TEACHER)
    found = condition(**adaptive(earliest=4)).steps(TEACHER)
    assert found[:4] == plain[:4]
    assert [step.rule is None for step in found] == [True] * 4 + [False] * 6
    assert json.loads(found[4].rule) == {"adaptive": "gradients", "patience": 3, "threshold": 0.5}


def test_otherwise_is_what_eskd_does_at_that_epoch(condition):
    found = condition(**adaptive(earliest=0)).steps(TEACHER)
    stopped = condition(distill_until=0).steps(TEACHER)
    assert tuple(step.otherwise for step in found) == stopped
    kept = condition(**adaptive(earliest=0), after={"ce_weight": 0.1}).steps(TEACHER)
    assert {step.otherwise.ce_weight for step in kept} == {0.1}


@pytest.mark.parametrize("options", [{"patience": 4}, {"threshold": 0.1}, {"earliest": 3}])
def test_every_option_changes_the_identity(condition, options):
    from tutelage.config.canonical import canonical

    def forms(**more):
        steps = condition(**adaptive(**{"earliest": 2} | more)).steps(TEACHER)
        return [canonical(step.form()) for step in steps]

    assert forms() != forms(**options)
    assert forms()[:2] == forms(**options)[:2]


def test_a_compressed_teacher_is_watched_from_the_same_share(expanded):
    study = expanded(teachers={
        "small": {"model": "plain-8-8"},
        "taught": {"model": "plain-8-8", "teacher": "small", **adaptive(earliest=0.4)},
        "short": {"of": "taught", "stop": {"compressed": 0.5}},
    }, conditions={"kd": {"teacher": "short"}})  # fmt: skip
    assert study.trainings["taught"].watched_from == 4
    assert study.trainings["short"].watched_from == 2


def test_the_words_say_what_decides(condition):
    text = condition(**adaptive("validation", patience=2)).loss_text
    assert text.endswith("until validation error after a decay rises by 0 an epoch or more, "
                         "2 epochs long, then 1/0")  # fmt: skip
    assert "cosine with that of labels is below 0.5, 3 epochs long" in condition(
        **adaptive()).loss_text  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (adaptive() | {"decay": "linear"}, "a linear decay has to know when it ends"),
        (adaptive() | {"loss": "annealing"}, "annealing has to know when it ends"),
        (adaptive() | {"loss": "at"}, "cosine is of a loss of logits"),
        (adaptive(earliest=8), "measured from epoch 8 on, 3 times or more, and there are 10"),
        (adaptive("validation") | {"recipe": {"schedule": {"cosine": True}}}, "waits for a decay"),
    ],
)
def test_what_cannot_be_decided_is_refused(condition, keys, says):
    with pytest.raises(UserError, match=says) as told:
        condition(**keys)
    assert told.value.where == "conditions.c.distill_until"


def test_a_rule_that_is_none_is_named(parts):
    parts["conditions"]["eskd"]["distill_until"] = {"adaptive": "intuition"}
    with pytest.raises(UserError, match=r"conditions\.eskd\.distill_until"):
        validate(parts)
