"""Losses with one fault each: the suite finds that fault, and no other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from tutelage.losses import dist, kd, mse
from tutelage.losses.checks import checked_logits
from tutelage.testing import ALL, check_loss

torch.set_num_threads(1)
TAU = 4.0


def checked(formula):
    """The formula on checked logits in float32, with a detached teacher, as it ought to be."""

    def loss(student, teacher):
        return formula(*checked_logits("loss", student, teacher))

    return loss


def p(logits, tau=TAU):
    return F.softmax(logits / tau, -1)


def log_p(logits, tau=TAU):
    return F.log_softmax(logits / tau, -1)


def rows(student, teacher, tau=TAU):
    """tau^2 KL of each image."""
    return tau**2 * (p(teacher, tau) * (log_p(teacher, tau) - log_p(student, tau))).sum(-1)


def plain(student, teacher, tau=TAU):
    return rows(student, teacher, tau).mean(-1)


def not_a_scalar(student, teacher):
    found = kd(student, teacher, TAU)
    return found.reshape(1) if student.dim() == 2 else found


def soft_cross_entropy(student, teacher):
    return -(TAU**2) * (p(teacher) * log_p(student)).sum(-1).mean(-1)


def one_sided(student, teacher):
    """A penalty with a corner at the teacher, where autograd takes the steep side."""
    over = (p(student) - p(teacher)).clamp(min=0)
    return plain(student, teacher) + (p(teacher) * over).sum(-1).mean(-1)


def last_image(student, teacher):
    return rows(student, teacher)[..., -1]


def over_classes(student, teacher):
    """reduction="mean": divided by the classes as well."""
    return plain(student, teacher) / student.shape[-1]


def twice_softmax(student, teacher):
    return kd(p(student, 1.0), p(teacher, 1.0), TAU)


def logs_as_probabilities(student, teacher):
    return TAU**2 * (log_p(teacher) * (log_p(teacher) - log_p(student))).sum(-1).mean(-1)


def attached(student, teacher):
    if student.shape != teacher.shape or student.dim() < 2:
        kd(student, teacher, TAU)  # which says what is wrong
    wide = (z.to(torch.promote_types(z.dtype, torch.float32)) for z in (student, teacher))
    return plain(*wide)


def weighted(student, teacher):
    """Images weighed by the student's own confidence, through which no gradient flows."""
    return (p(student).amax(-1).detach() * rows(student, teacher)).mean(-1)


def unstable(student, teacher):
    """exp without taking the largest logit away first."""
    logs = [z / TAU - (z / TAU).exp().sum(-1, keepdim=True).log() for z in (student, teacher)]
    return TAU**2 * (logs[1].exp() * (logs[1] - logs[0])).sum(-1).mean(-1)


def narrow(student, teacher):
    """All in the precision of the logits: tau^2 KL can be beyond fp16."""
    checked_logits("loss", student, teacher)
    return plain(student, teacher.detach())


def coarse(student, teacher):
    """Half precision in bfloat16, which is wide but coarse."""
    half = student.dtype in (torch.float16, torch.bfloat16)
    checked_logits("loss", student, teacher)
    if half:
        return plain(student.bfloat16(), teacher.detach().bfloat16())
    return plain(student, teacher.detach())


def unchecked(student, teacher):
    wide = [z.to(torch.promote_types(z.dtype, torch.float32)) for z in (student, teacher)]
    return plain(wide[0], wide[1].detach())


def any_order(student, teacher):
    """A mean in an order of chance, as additions of threads are: other bits, the same number."""
    each = rows(student, teacher)
    total = torch.zeros_like(each[..., 0])
    for image in torch.randperm(each.shape[-1]).tolist():
        total = total + each[..., image]
    return total / each.shape[-1]


def in_place(student, teacher):
    checked_logits("loss", student, teacher)
    return kd(student.div_(TAU), teacher.div_(TAU), 1.0) * TAU**2


def in_place_teacher(student, teacher):
    found = kd(student, teacher, TAU)
    teacher.zero_()
    return found


@dataclass(frozen=True)
class Fault:
    """A loss, the properties that it fails, and those that it does not declare."""

    loss: object
    fails: set[str]
    without: set[str]
    at_temperature: object = None


def fault(loss, *fails, without=(), hot=None):
    hidden = set(without) | ({"large-temperature"} if hot is None else set())
    return Fault(loss, set(fails), hidden, hot)


FAULTS = {
    # one property each
    "not a scalar": fault(not_a_scalar, "finite-scalar"),
    "soft cross-entropy instead of KL": fault(checked(soft_cross_entropy), "zero-at-teacher"),
    "a corner at the teacher": fault(checked(one_sided), "stationary-at-teacher"),
    "the wrong sign": fault(lambda s, t: -kd(s, t, TAU), "not-negative"),
    "sum over the batch instead of mean": fault(
        checked(lambda s, t: rows(s, t).sum(-1)), "batch-size", without={"mean-of-images"}
    ),
    "correlation over images, declared a mean of images": fault(
        dist, "mean-of-images", without={"class-count"}
    ),
    "the last image alone counts": fault(
        checked(last_image), "order-of-images", without={"mean-of-images"}
    ),
    "the first class left out": fault(
        lambda s, t: kd(*checked_logits("loss", s, t), TAU)
        + 0.1 * checked(plain)(s[..., 1:], t[..., 1:]),
        "order-of-classes",
    ),
    "squared distance of logits, declared shift-invariant": fault(mse, "shift"),
    "reduction mean divides by the classes": fault(checked(over_classes), "class-count"),
    "tau squared dropped": fault(
        checked(lambda s, t: plain(s, t) / TAU**2), "large-temperature",
        hot=lambda tau: checked(lambda s, t: plain(s, t, tau) / tau**2),
    ),
    "the teacher not detached": fault(attached, "teacher-detached"),
    "a weight that is detached": fault(checked(weighted), "gradient"),
    "exp that overflows": fault(checked(unstable), "large-logits"),
    "half precision in bfloat16": fault(coarse, "half-in-single"),
    "shapes not checked": fault(unchecked, "refuses-shapes"),
    "a sum in an order of chance": fault(
        checked(any_order), "deterministic", without={"leading-dimensions"}
    ),
    "arguments changed in place": fault(in_place, "leaves-arguments"),
    "the teacher's logits used up": fault(in_place_teacher, "leaves-arguments"),
    "one mean over all leading dimensions": fault(
        checked(lambda s, t: rows(s, t).mean()), "leading-dimensions"
    ),
    # and what fails several at once
    "sum instead of mean, declared a mean of images": fault(
        checked(lambda s, t: rows(s, t).sum(-1)), "batch-size", "mean-of-images"
    ),
    "reduction mean, at all temperatures": fault(
        checked(over_classes), "class-count", "large-temperature",
        hot=lambda tau: checked(lambda s, t: plain(s, t, tau) / s.shape[-1]),
    ),
    "softmax twice, both": fault(
        twice_softmax, "class-count", "half-in-single", "large-temperature",
        hot=lambda tau: checked(lambda s, t: plain(p(s, 1.0), p(t, 1.0), tau)),
    ),
    "softmax twice, teacher": fault(
        checked(lambda s, t: plain(s, p(t, 1.0))), "zero-at-teacher", "stationary-at-teacher",
        "class-count",
    ),
    "the temperature on one side only": fault(
        checked(lambda s, t: plain(s, t * TAU)), "zero-at-teacher", "stationary-at-teacher",
    ),
    "log-probabilities as probabilities": fault(
        checked(logs_as_probabilities), "stationary-at-teacher", "not-negative", "class-count",
    ),
    "fp16 overflow": fault(narrow, "large-logits", "half-in-single"),
    "dropout in the loss": fault(
        checked(lambda s, t: plain(F.dropout(s, 0.5), t)), "deterministic", "zero-at-teacher",
        "stationary-at-teacher", "batch-size", "mean-of-images", "order-of-images",
        "order-of-classes", "shift", "class-count", "gradient", "half-in-single",
        "leading-dimensions",
    ),
    "the student detached": fault(
        lambda s, t: kd(s.detach(), t, TAU), "gradient",
    ),
    "student and teacher exchanged": fault(
        lambda s, t: kd(t, s, TAU), "teacher-detached", "gradient",
    ),
}  # fmt: skip


def verdicts(name):
    one = FAULTS[name]
    declared = [each for each in ALL if each not in one.without]
    return check_loss(one.loss, declared, at_temperature=one.at_temperature)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_its_properties_and_no_other(name):
    failed = {verdict.name: verdict.seen for verdict in verdicts(name) if not verdict.passed}
    assert set(failed) == FAULTS[name].fails, failed
    assert all(any(sign.isdigit() for sign in seen) for seen in failed.values()), failed


def test_every_property_has_a_fault_that_fails_it_alone():
    alone = [next(iter(one.fails)) for one in FAULTS.values() if len(one.fails) == 1]
    assert set(alone) == set(ALL)


def test_without_its_faults_the_same_code_passes():
    """So it is the fault that is found, and not the way these losses are written."""
    hot = partial(partial, plain)
    found = check_loss(checked(plain), ALL, at_temperature=lambda tau: checked(hot(tau=tau)))
    assert [str(verdict) for verdict in found if not verdict.passed] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("not a scalar", "gave float64 [1]"),
        ("exp that overflows", "the loss is nan; not finite: "),
        ("fp16 overflow", "float16, "),
        ("half precision in bfloat16", "bfloat16 logits gave bfloat16"),
        ("one mean over all leading dimensions", "logits [3, 8, 6] gave [] instead of [3]"),
        ("arguments changed in place", "numbers of `student` (float64) changed"),
        ("the teacher's logits used up", "30 of 30 numbers of `teacher` (float64) changed"),
        ("tau squared dropped", "at temperature 10000 it is "),
    ],
)
def test_failures_say_what_was_seen(name, words):
    (seen,) = [
        verdict.seen
        for verdict in verdicts(name)
        if verdict.name in FAULTS[name].fails and words in verdict.seen
    ]
    assert seen
