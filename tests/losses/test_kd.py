"""Hinton's loss: its closed form, its gradient and its invariants."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.losses import kd

torch.set_num_threads(1)


def pair(batch=6, classes=5, seed=0, scale=3.0):
    """Logits of a student and a teacher, float64."""
    generator = torch.Generator().manual_seed(seed)
    both = torch.randn(2, batch, classes, generator=generator, dtype=torch.float64) * scale
    return both[0], both[1]


def reference(student, teacher, temperature):
    """The formula term by term, in plain Python numbers."""
    total = 0.0
    for row_s, row_t in zip(student.tolist(), teacher.tolist(), strict=True):
        weights_s = [math.exp(z / temperature) for z in row_s]
        weights_t = [math.exp(z / temperature) for z in row_t]
        for a, b in zip(weights_s, weights_t, strict=True):
            q, p = a / sum(weights_s), b / sum(weights_t)
            total += p * math.log(p / q)
    return temperature**2 * total / len(student)


@pytest.mark.parametrize("temperature", [0.5, 1, 2.0, 4, 20])
@pytest.mark.parametrize(("batch", "classes"), [(1, 2), (6, 5), (17, 10)])
def test_it_is_the_formula(batch, classes, temperature):
    student, teacher = pair(batch, classes)
    expected = reference(student, teacher, temperature)
    assert kd(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-12)


def test_two_classes_have_a_closed_form():
    # p = 3/4, q = 1/2 at temperature 2: KL = 3/4 log(3/2) + 1/4 log(1/2), times 4.
    teacher = torch.tensor([[2 * math.log(3), 0.0]], dtype=torch.float64)
    value = kd(torch.zeros(1, 2, dtype=torch.float64), teacher, 2.0).item()
    assert value == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)), rel=1e-14)


def test_single_precision_agrees_with_numpy_in_double():
    student, teacher = (z.float() for z in pair(50, 10))
    s, t = (z.numpy().astype(np.float64) / 4 for z in (student, teacher))
    log_q = s - np.log(np.exp(s).sum(1, keepdims=True))
    log_p = t - np.log(np.exp(t).sum(1, keepdims=True))
    expected = 16 * (np.exp(log_p) * (log_p - log_q)).sum(1).mean()
    assert kd(student, teacher, 4.0).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_its_gradient_by_finite_differences(temperature):
    student, teacher = pair(4, 3)
    student.requires_grad_()
    kd(student, teacher, temperature).backward()
    step = 1e-5
    for image in range(4):
        for label in range(3):
            nudge = torch.zeros_like(teacher)
            nudge[image, label] = step
            ahead, behind = (
                kd(student.detach() + side * nudge, teacher, temperature) for side in (1, -1)
            )
            slope = ((ahead - behind) / (2 * step)).item()
            assert student.grad[image, label].item() == pytest.approx(slope, abs=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_its_gradient_is_temperature_times_the_difference_of_probabilities(temperature):
    student, teacher = pair()
    student.requires_grad_()
    kd(student, teacher, temperature).backward()
    q, p = (student.detach() / temperature).softmax(1), (teacher / temperature).softmax(1)
    torch.testing.assert_close(student.grad, temperature * (q - p) / len(student))


@given(
    logits=st.lists(st.floats(-50, 50), min_size=4, max_size=4),
    shift=st.floats(-30, 30),
    temperature=st.floats(0.5, 20),
)
@settings(max_examples=60, deadline=None)
def test_it_is_zero_and_stationary_where_student_and_teacher_agree(logits, shift, temperature):
    teacher = torch.tensor([logits], dtype=torch.float64)
    student = (teacher + shift).requires_grad_()  # a constant on a row changes no probability
    loss = kd(student, teacher, temperature)
    loss.backward()
    assert abs(loss.item()) < 1e-11
    assert student.grad.abs().max() < 1e-12


@given(seed=st.integers(0, 10_000), temperature=st.floats(0.5, 20))
@settings(max_examples=60, deadline=None)
def test_it_is_positive_and_does_not_care_for_order_or_repetition(seed, temperature):
    student, teacher = pair(seed=seed)
    value = kd(student, teacher, temperature).item()
    assert value > 0
    classes = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    images = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    for change in (lambda z: z[:, classes], lambda z: z[images], lambda z: torch.cat([z, z])):
        changed = kd(change(student), change(teacher), temperature).item()
        assert changed == pytest.approx(value, rel=1e-12)


def test_at_high_temperature_it_is_the_error_of_centred_logits():
    student, teacher = pair(8, 10)
    gap = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    limit = (gap.square().sum(1).mean() / (2 * 10)).item()
    off = [abs(kd(student, teacher, tau).item() - limit) / limit for tau in (100.0, 1000.0)]
    assert off[1] < 1e-2
    assert off[1] == pytest.approx(off[0] / 10, rel=0.2)  # the rest falls as 1 / tau


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_it_is_finite_at_logits_of_ten_thousand(dtype, temperature):
    student = torch.tensor([[1e4, -1e4, 0.0], [0.0, 1e4, 1e4]], dtype=dtype, requires_grad=True)
    teacher = torch.tensor([[-1e4, 1e4, 0.0], [1e4, 0.0, 1e4]], dtype=dtype)
    loss = kd(student, teacher, temperature)
    loss.backward()
    # Row one: 2e4 / tau; row two: half of 1e4 / tau. Times tau^2, mean.
    assert loss.item() == pytest.approx(temperature * 1.25e4, rel=1e-2)
    assert student.grad.isfinite().all()
    assert loss.dtype == torch.float32


def test_half_precision_is_computed_in_single():
    student, teacher = (z.bfloat16() for z in pair())
    assert kd(student, teacher, 4.0) == kd(student.float(), teacher.float(), 4.0)
    assert kd(*pair(), 4.0).dtype == torch.float64


def test_it_is_the_same_under_autocast():
    student, teacher = (z.float() for z in pair())
    with torch.autocast("cpu", torch.bfloat16):
        inside = kd(student, teacher, 4.0)
    assert inside == kd(student, teacher, 4.0)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((4, 10), (4, 100)), ((4, 10), (5, 10)), ((3, 4, 10), (4, 10)), ((10,), (10,))],
)
def test_shapes_that_do_not_fit_are_both_named(student, teacher):
    with pytest.raises(ValueError, match="one shape") as caught:
        kd(torch.zeros(student), torch.zeros(teacher), 4.0)
    assert str(list(student)) in str(caught.value)
    assert str(list(teacher)) in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("batch", "classes"), [(1, 10), (4, 3), (33, 10), (128, 100)])
def test_leading_dimensions_have_a_loss_each(batch, classes, dtype):
    """Bit for bit those of single calls, so that runs side by side are those of runs alone."""
    student, teacher = (z.reshape(2, 3, batch, classes).to(dtype) for z in pair(6 * batch, classes))
    losses = kd(student, teacher, 4.0)
    assert losses.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        assert torch.equal(losses[i, j], kd(student[i, j], teacher[i, j], 4.0))


@pytest.mark.parametrize("temperature", [0, -1.0, math.inf, math.nan])
def test_a_temperature_must_be_finite_and_positive(temperature):
    with pytest.raises(ValueError, match="temperature"):
        kd(*pair(), temperature)


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="empty batch"):
        kd(torch.zeros(0, 10), torch.zeros(0, 10), 4.0)
