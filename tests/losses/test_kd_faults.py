"""Faults found in public distillation code: ours differs from each by far more than rounding."""

import pytest
import torch
from torch.nn import functional as F

from tutelage.losses import kd

torch.set_num_threads(1)
TAU = 4.0


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    both = torch.randn(2, 50, 10, generator=generator)
    return both[0], both[1] * 4  # the teacher is the surer one


def log_q(z):
    return F.log_softmax(z / TAU, dim=1)


def p(z):
    return F.softmax(z / TAU, dim=1)


FAULTS = {
    "KL divided by the classes too": (
        lambda s, t: TAU**2 * F.kl_div(log_q(s), p(t), reduction="mean")
    ),
    "KL summed over the batch": lambda s, t: TAU**2 * F.kl_div(log_q(s), p(t), reduction="sum"),
    "tau^2 dropped": lambda s, t: F.kl_div(log_q(s), p(t), reduction="batchmean"),
    "softmax twice, teacher": lambda s, t: kd(s, p(t), TAU),
    "softmax twice, both": lambda s, t: kd(p(s), p(t), TAU),
    "KL the wrong way round": lambda s, t: kd(t, s, TAU),
    "temperature on one side only": lambda s, t: kd(s, t * TAU, TAU),
    "log-probabilities as probabilities": (
        lambda s, t: TAU**2 * F.kl_div(log_q(s), log_q(t), reduction="batchmean")
    ),
    "soft cross-entropy instead of KL": lambda s, t: TAU**2 * F.cross_entropy(s / TAU, p(t)),
}


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("name", FAULTS)
def test_it_is_none_of_the_known_faults(name, logits):
    right, wrong = kd(*logits, TAU).item(), FAULTS[name](*logits).item()
    assert not abs(wrong - right) < 0.05 * abs(right)  # one of them is not even a number


def test_it_is_what_those_codes_meant(logits):
    student, teacher = logits
    meant = TAU**2 * F.kl_div(log_q(student), p(teacher), reduction="batchmean")
    torch.testing.assert_close(kd(student, teacher, TAU), meant, rtol=1e-5, atol=1e-6)


def test_log_probabilities_are_logits_too(logits):
    """At temperature 1 a log-softmax in front changes nothing."""
    student, teacher = (z.double() for z in logits)
    again = kd(F.log_softmax(student, 1), F.log_softmax(teacher, 1), 1.0)
    torch.testing.assert_close(again, kd(student, teacher, 1.0))


def test_no_gradient_reaches_the_teacher():
    """Even where somebody forgot no_grad around the teacher's forward pass."""
    student, teacher = torch.nn.Linear(3, 5), torch.nn.Linear(3, 5)
    images = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    kd(student(images), teacher(images), TAU).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in student.parameters())


def test_a_student_that_is_its_own_teacher_learns_nothing(logits):
    shared = logits[0].clone().requires_grad_()
    kd(shared, shared, TAU).backward()
    assert shared.grad.abs().max() < 1e-6


def test_the_sum_with_cross_entropy_has_no_jump_where_a_weight_is_zero(logits):
    student, teacher = logits
    labels = teacher.argmax(1)

    def total(ce_weight, kd_weight):
        z = student.clone().requires_grad_()
        loss = ce_weight * F.cross_entropy(z, labels) + kd_weight * kd(z, teacher, TAU)
        loss.backward()
        return torch.cat([loss.detach()[None], z.grad.flatten()])

    torch.testing.assert_close(total(0, 0.9), total(1e-7, 0.9), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(total(0.1, 0), total(0.1, 1e-7), rtol=1e-5, atol=1e-6)


def test_the_gradient_keeps_its_size_over_temperatures(logits):
    """What the factor tau^2 is for: without it, four times the temperature is 1/16 the gradient."""
    sizes = []
    for temperature in (10.0, 40.0):
        student = logits[0].clone().requires_grad_()
        kd(student, logits[1], temperature).backward()
        sizes.append(student.grad.norm().item())
    assert sizes[1] == pytest.approx(sizes[0], rel=0.2)


def test_the_arguments_are_left_as_they_were(logits):
    before = [z.clone() for z in logits]
    kd(*logits, TAU)
    assert all(torch.equal(a, b) for a, b in zip(before, logits, strict=True))
