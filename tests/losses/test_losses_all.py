"""What holds of all losses of logits, by the names that studies use."""

from __future__ import annotations

import math

import pytest
import torch
from loss_forms import ALL, HALVES, pair

from tutelage.losses import annealing, dist, dkd, kd, logit_loss, mse, standardise


def test_a_form_is_the_loss_with_its_options():
    student, teacher, labels = pair()

    def formed(form):
        return logit_loss(form)(student, teacher, labels)

    assert formed('{"kd":{"temperature":3}}') == kd(student, teacher, 3)
    assert formed('{"mse":{}}') == mse(student, teacher)
    assert formed('{"annealing":{"factor":0.2}}') == annealing(student, teacher, 0.2)
    options = '{"temperature":3,"inter_weight":0.5,"intra_weight":2}'
    assert formed(f'{{"dist":{options}}}') == dist(student, teacher, 3, 0.5, 2)
    options = '{"temperature":3,"target_weight":0.5,"non_target_weight":2}'
    assert formed(f'{{"dkd":{options}}}') == dkd(student, teacher, labels, 3, 0.5, 2)
    both = standardise(student), standardise(teacher)
    assert formed('{"kd":{"temperature":3},"standardise":true}') == kd(*both, 3)
    assert formed('{"dkd":{},"standardise":true}') == dkd(*both, labels)
    assert formed('{"kd":{"temperature":3},"standardise":false}') == kd(student, teacher, 3)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("student", "teacher", "told"),
    [
        ((4, 10), (4, 100), "10 classes against 100"),
        ((4, 10), (5, 10), ""),
        ((2, 4, 10), (4, 10), ""),
        ((10,), (10,), ""),
    ],
)
def test_shapes_that_do_not_fit_are_both_named(name, student, teacher, told):
    with pytest.raises(ValueError, match="one shape") as caught:
        ALL[name](torch.randn(student), torch.randn(teacher), torch.zeros(4, dtype=torch.int64))
    assert f"student's are {list(student)}, the teacher's {list(teacher)}" in str(caught.value)
    assert told in str(caught.value)
    assert ("against" in str(caught.value)) == bool(told)
    assert name.startswith(str(caught.value).split()[0])  # whose complaint it is


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(0, 10), (4, 0), (3, 0, 10)])
def test_an_empty_batch_is_refused(name, shape):
    labels = torch.zeros(shape[:-1], dtype=torch.int64)
    with pytest.raises(ValueError, match=f"empty batch \\{list(shape)}"):
        ALL[name](torch.zeros(shape), torch.zeros(shape), labels)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_of_a_teacher_that_are_not_finite_are_counted(name, value):
    student, teacher, labels = pair()
    teacher[0, 1] = teacher[3, 2] = value
    with pytest.raises(ValueError, match="finite logits of the teacher") as caught:
        ALL[name](student, teacher, labels)
    assert "2 of 30 are not" in str(caught.value)
    assert name.startswith(str(caught.value).split()[0])


@pytest.mark.parametrize("name", ALL)
def test_a_student_that_diverged_is_seen_in_its_loss(name):
    student, teacher, labels = pair()
    student[2, 1] = math.nan
    assert ALL[name](student, teacher, labels).isnan()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_computed_in_single(name, dtype):
    student, teacher, labels = pair()
    student, teacher = student.to(dtype).requires_grad_(), teacher.to(dtype)
    single = student.detach().float().requires_grad_()
    loss = ALL[name](student, teacher, labels)
    expected = ALL[name](single, teacher.float(), labels)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    loss.backward()
    expected.backward()
    assert torch.equal(student.grad, single.grad.to(dtype))


@pytest.mark.parametrize("name", ALL)
def test_double_precision_stays_double(name):
    assert ALL[name](*pair()).dtype == torch.float64


@pytest.mark.parametrize("name", ALL)
def test_autocast_changes_nothing(name):
    student, teacher, labels = pair()
    student, teacher = student.float(), teacher.float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = ALL[name](student, teacher, labels)
    assert inside == ALL[name](student, teacher, labels)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
@pytest.mark.parametrize("label", [0, 1])
def test_logits_of_ten_thousand_are_finite(name, dtype, label):
    student = torch.tensor([[1e4, -1e4, 0], [0, 1e4, 1e4], [1, 2, 3]], dtype=dtype)
    teacher = torch.tensor([[-1e4, 1e4, 0], [1e4, 0, 1e4], [1e4, 9e3, 0]], dtype=dtype)
    labels = torch.tensor([label, 2 - label, 0])
    student.requires_grad_()
    loss = ALL[name](student, teacher, labels)
    loss.backward()
    assert 0 < loss.item() < math.inf
    assert student.grad.isfinite().all()
    assert student.grad.any()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALVES])
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_student_has_a_finite_gradient(name, dtype, value):
    """One that says one number for every class, as a head of zeros."""
    _, teacher, labels = pair()
    student = torch.full((6, 5), value, dtype=dtype, requires_grad=True)
    loss = ALL[name](student, teacher.to(dtype), labels)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("name", [name for name in ALL if "annealing" not in name])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("scale", [0.1, 3.0, 1e4])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(name, dtype, rounding, scale):
    _, teacher, labels = pair(scale=scale)
    student, teacher = teacher.to(dtype).requires_grad_(), teacher.to(dtype)
    loss = ALL[name](student, teacher, labels)
    loss.backward()
    assert abs(loss.item()) < rounding
    assert student.grad.abs().max() < rounding


@pytest.mark.parametrize("name", ALL)
def test_no_gradient_reaches_the_teacher(name):
    student, teacher, labels = pair()
    student.requires_grad_()
    teacher.requires_grad_()
    ALL[name](student, teacher, labels).backward()
    assert teacher.grad is None
    assert student.grad.any()


@pytest.mark.parametrize("name", ALL)
def test_the_arguments_are_left_as_they_were(name):
    arguments = pair()
    before = [z.clone() for z in arguments]
    ALL[name](*arguments)
    assert all(torch.equal(a, b) for a, b in zip(before, arguments, strict=True))
