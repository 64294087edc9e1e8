"""What every epoch of a condition does: ESKD, linear decay, `after`; closed forms."""

from __future__ import annotations

import pytest

TEACHER = "the teacher's identity"


@pytest.fixture
def steps(expanded):
    """A function: the epochs of a condition taught by `large` over 10 epochs."""

    def build(**keys):
        condition = {"teacher": "large", "ce_weight": 0.2, "kd_weight": 0.8, **keys}
        return expanded(conditions={"c": condition}).conditions["c"].steps(TEACHER)

    return build


def weights(steps):
    return [(step.ce_weight, step.kd_weight) for step in steps]


def test_without_a_stop_every_epoch_is_the_same_but_for_the_rate(steps):
    found = steps()
    assert weights(found) == [(0.2, 0.8)] * 10
    assert [step.lr for step in found] == pytest.approx([0.1] * 3 + [0.02] * 3 + [0.004] * 4)
    assert {(step.loss, step.teacher) for step in found} == {('{"kd":{"temperature":4}}', TEACHER)}


@pytest.mark.parametrize("until", [6, 0.6])
def test_eskd_is_cross_entropy_alone_after_the_stop(steps, until):
    found = steps(distill_until=until)
    assert weights(found) == [(0.2, 0.8)] * 6 + [(1.0, 0.0)] * 4
    assert [step.distils for step in found] == [True] * 6 + [False] * 4
    # No teacher is asked, so none is named.
    assert {(step.loss, step.teacher) for step in found[6:]} == {(None, None)}


def test_one_epoch_and_all_of_them_are_told_apart(steps):
    assert [step.distils for step in steps(distill_until=1)] == [True] + [False] * 9
    assert all(step.distils for step in steps(distill_until=1.0))


def test_a_stop_at_once_is_scratch(steps, expanded):
    scratch = expanded(conditions={}).conditions["scratch"].steps(None)
    assert steps(distill_until=0) == scratch


def test_after_sets_the_weights_behind_the_stop(steps):
    low = steps(distill_until=0.5, after={"ce_weight": 0.1})
    assert weights(low) == [(0.2, 0.8)] * 5 + [(0.1, 0.0)] * 5
    on = steps(distill_until=0.5, after={"ce_weight": 1.0, "kd_weight": 0.9})
    assert weights(on) == [(0.2, 0.8)] * 5 + [(1.0, 0.9)] * 5
    assert all(step.distils and step.teacher == TEACHER for step in on)


def test_linear_decay_starts_at_its_weights_and_reaches_after_at_the_stop(steps):
    found = weights(steps(decay="linear"))
    expected = [(0.2 + 0.8 * e / 10, 0.8 * (1 - e / 10)) for e in range(10)]
    assert found == [pytest.approx(pair) for pair in expected]
    assert found[0] == (0.2, 0.8)
    assert found[-1][1] > 0  # the last epoch still hears the teacher


def test_linear_decay_until_a_stop_and_to_given_weights(steps):
    keys = {"decay": "linear", "distill_until": 4, "after": {"ce_weight": 0.6, "kd_weight": 0.4}}
    expected = [(0.2, 0.8), (0.3, 0.7), (0.4, 0.6), (0.5, 0.5)] + [(0.6, 0.4)] * 6
    assert weights(steps(**keys)) == [pytest.approx(pair) for pair in expected]


def test_linear_decay_to_the_end_takes_after(steps):
    found = weights(steps(decay="linear", after={"ce_weight": 0.7, "kd_weight": 0.3}))
    assert found[5] == pytest.approx((0.45, 0.55))


def test_linear_decay_that_ends_at_once_is_after(steps):
    assert weights(steps(decay="linear", distill_until=0)) == [(1.0, 0.0)] * 10


def test_weight_nought_asks_no_teacher(steps):
    assert not any(step.distils for step in steps(kd_weight=0))


def test_the_teacher_s_name_goes_where_it_is_heard_and_nowhere_else(expanded):
    eskd = expanded(conditions={"c": {"teacher": "large", "distill_until": 0.5}}).conditions["c"]
    one, other = eskd.steps("one"), eskd.steps("other")
    assert [a == b for a, b in zip(one, other, strict=True)] == [False] * 5 + [True] * 5


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "KD, temperature 4, weights 0.2/0.8"),
        ({"distill_until": 0.6}, "KD, temperature 4, weights 0.2/0.8 until epoch 6, then 1/0"),
        (
            {"decay": "linear", "loss": {"kd": {"temperature": 2.5}}},
            "KD, temperature 2.5, weights 0.2/0.8 until epoch 10, falling linearly to 1/0",
        ),
    ],
)
def test_the_loss_in_words(expanded, keys, words):
    condition = {"teacher": "large", "ce_weight": 0.2, "kd_weight": 0.8, **keys}
    assert expanded(conditions={"c": condition}).conditions["c"].loss_text == words
