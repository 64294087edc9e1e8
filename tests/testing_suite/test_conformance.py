"""The conformance suite on losses that are right, and what it says of itself."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from tutelage.errors import UserError
from tutelage.losses import LOSSES, kd, mse
from tutelage.testing import (
    ALL,
    ANY_LOSS,
    LIKE_KD,
    OWN_LOSSES,
    PROPERTIES,
    Property,
    assert_loss,
    check_loss,
)

torch.set_num_threads(1)


def kd4(student, teacher):
    return kd(student, teacher, 4.0)


# --- tutelage's own losses -----------------------------------------------------------------------


@pytest.mark.parametrize("name", OWN_LOSSES)
@pytest.mark.parametrize("seed", [0, 1])
def test_our_own_losses_have_what_they_declare(name, seed):
    assert [str(verdict) for verdict in OWN_LOSSES[name].check(seed) if not verdict.passed] == []


@pytest.mark.parametrize("name", OWN_LOSSES)
def test_what_they_do_not_declare_they_do_not_have(name):
    own = OWN_LOSSES[name]
    without = [each for each in ALL if each not in own.properties]
    if own.at_temperature is None and "large-temperature" in without:
        without.remove("large-temperature")
    if name == "standardised-annealing":  # but for the 1e-7 beside the spread it would be
        without.remove("stationary-at-teacher")
    verdicts = own.check(properties=tuple(without)) if without else []
    assert [verdict.name for verdict in verdicts if verdict.passed] == []


def test_every_loss_by_name_is_declared_bare_and_standardised():
    assert set(OWN_LOSSES) == {*LOSSES, *(f"standardised-{name}" for name in LOSSES)}
    assert OWN_LOSSES["kd"].properties == ALL
    for own in OWN_LOSSES.values():
        assert set(own.properties) <= set(ALL)
        assert {"refuses-shapes", "teacher-detached", "gradient", "large-logits"} < {
            *own.properties
        }


@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
def test_hintons_loss_has_all_properties_at_other_temperatures(temperature):
    loss = partial(kd, temperature=temperature)
    assert_loss(loss, ALL, at_temperature=lambda tau: partial(kd, temperature=tau))


@pytest.mark.parametrize("scale", [1e-6, 1e3])
def test_the_size_of_a_loss_does_not_matter(scale):
    assert_loss(lambda s, t: scale * kd4(s, t), LIKE_KD)


def test_a_loss_in_single_precision_is_judged_by_it():
    """All but what takes differences of it, and those say why."""

    def single(student, teacher):
        return kd4(student.float(), teacher.float())

    failed = [verdict for verdict in check_loss(single, LIKE_KD) if not verdict.passed]
    assert [verdict.name for verdict in failed] == ["gradient"]
    assert failed[0].seen == "float64 logits gave float32, too coarse for differences"


# --- the suite itself ----------------------------------------------------------------------------


def test_a_verdict_names_property_meaning_and_numbers():
    (good, bad) = check_loss(lambda s, t: kd4(s, t) + 0.25, ["not-negative", "zero-at-teacher"])
    assert (good.passed, good.seen) == (True, "")
    assert str(good) == "not-negative: it is never below 0"
    assert not bad.passed
    assert "it is 0.25 there" in bad.seen
    assert str(bad) == f"zero-at-teacher: {bad.meaning}; but {bad.seen}"


def test_verdicts_come_in_the_order_asked_and_repeat():
    def noisy(student, teacher):
        return kd4(student, teacher) * (1 + torch.rand(()))

    names = ["deterministic", "zero-at-teacher", "batch-size"]
    first, again = check_loss(noisy, names, seed=3), check_loss(noisy, names, seed=3)
    assert [verdict.name for verdict in first] == names
    assert first == again
    assert first[0].seen != check_loss(noisy, names, seed=4)[0].seen


def test_an_assertion_names_all_failures_and_nothing_else():
    with pytest.raises(AssertionError) as caught:
        assert_loss(lambda s, t: kd(s, t, 4.0).sqrt() + 1, ["zero-at-teacher", "shift", "gradient",
                                                            "stationary-at-teacher"])  # fmt: skip
    lines = str(caught.value).splitlines()
    assert lines[0] == "the loss fails 2 of the 4 properties that it declares:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "zero-at-teacher",
        "stationary-at-teacher",
    ]
    assert_loss(kd4)


def test_random_numbers_and_modes_of_the_caller_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with torch.no_grad():
        assert_loss(lambda s, t: kd4(s, t) + 0 * torch.rand(()), ["batch-size", "gradient"])
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.rand(3), expected)


def test_what_a_loss_raises_is_a_failure_with_its_words():
    def broken(student, teacher):
        raise RuntimeError("no such kernel\nand more")

    for verdict in check_loss(broken, ALL[:3]):
        assert not verdict.passed
        assert verdict.seen == "it raised RuntimeError: no such kernel"


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda s, t: 0.5, "gave float instead of a tensor"),
        (lambda s, t: (s - t).square().sum(-1), "gave float64 [6] instead of one number"),
        (lambda s, t: torch.tensor(3), "gave int64 [] instead of one number"),
    ],
)
def test_what_is_no_loss_is_told(loss, words):
    (verdict,) = check_loss(loss, ["zero-at-teacher"])
    assert not verdict.passed
    assert words in verdict.seen


def test_a_property_of_ones_own():
    def small(subject):
        found = subject.value(subject.batch(4, 3))
        return None if found < 1e-3 else f"it is {found:.3g}"

    mine = Property("small", "it is small", small)
    (bad, good) = (check_loss(loss, [mine])[0] for loss in (kd4, lambda s, t: 1e-9 * kd4(s, t)))
    assert good.passed
    assert str(bad).startswith("small: it is small; but it is ")


def test_labels_are_passed_and_permuted_with_their_classes():
    seen = []

    def hinge(student, teacher, labels):
        seen.append(labels)
        if labels.shape != student.shape[:-1]:
            raise ValueError(f"labels {list(labels.shape)} for {list(student.shape)}")
        own = student.gather(-1, labels[..., None])[..., 0]
        return (kd4(student, teacher) * 0).sum() + (student.logsumexp(-1) - own).mean(-1)

    names = ["order-of-classes", "order-of-images", "mean-of-images", "refuses-shapes"]
    assert_loss(hinge, names, labels=True)
    assert all(labels.dtype == torch.int64 for labels in seen)
    wrong = check_loss(lambda s, t, y: kd4(s, t), ["refuses-shapes"], labels=True)[0]
    assert "student [4, 5], labels [3]: accepted" in wrong.seen


@pytest.mark.parametrize(
    "message", ["[{s}] and [{t}]", "({s}) and ({t})", "torch.Size([{s}]) against torch.Size([{t}])"]
)
def test_a_refusal_may_write_shapes_as_it_likes(message):
    def refusing(student, teacher):
        if student.shape != teacher.shape:
            s, t = (", ".join(map(str, logits.shape)) for logits in (student, teacher))
            raise ValueError(message.format(s=s, t=t))
        return kd4(student, teacher)

    assert_loss(refusing, ["refuses-shapes"])


@pytest.mark.parametrize("message", ["shapes differ", "{s} does not fit", "{t} does not fit"])
def test_a_refusal_that_does_not_name_both_is_none(message):
    def refusing(student, teacher):
        if student.shape != teacher.shape:
            raise ValueError(message.format(s=list(student.shape), t=list(teacher.shape)))
        return kd4(student, teacher)

    (verdict,) = check_loss(refusing, ["refuses-shapes"])
    assert "its message does not name both" in verdict.seen


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (["shft"], "unknown property 'shft'.\n  Did you mean 'shift'?"),
        (["large-temperature"], "needs the loss at other temperatures"),
        ([], "no property was named"),
    ],
)
def test_mistakes_are_told(properties, words):
    with pytest.raises(UserError) as caught:
        check_loss(mse, properties)
    assert words in str(caught.value)


def test_the_groups_hold_known_properties():
    assert set(ANY_LOSS) < set(LIKE_KD) < set(ALL) == set(PROPERTIES)
    assert all(PROPERTIES[name].name == name for name in ALL)
