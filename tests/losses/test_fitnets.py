"""Hints: against loops in NumPy, and solved where they can be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.losses import FitNets

torch.set_num_threads(1)


def pooled(maps, size):
    """Means of the cells of a map that is a multiple of the size."""
    rows, columns = maps.shape[0] // size[0], maps.shape[1] // size[1]
    return np.array([[maps[i * rows:(i + 1) * rows, j * columns:(j + 1) * columns].mean()
                      for j in range(size[1])] for i in range(size[0])])  # fmt: skip


def reference(weight, bias, student, teacher):
    size = tuple(np.minimum(student.shape[2:], teacher.shape[2:]))
    squares = []
    for one, other in zip(student, teacher, strict=True):
        guided = np.stack([pooled(channel, size) for channel in one])
        hints = np.stack([pooled(channel, size) for channel in other])
        for i, j in np.ndindex(*size):
            squares.append((weight @ guided[:, i, j] + bias - hints[:, i, j]) ** 2)
    return np.mean(squares)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2, 3]),
       st.integers(0, 2**31))  # fmt: skip
def test_it_is_what_loops_over_positions_give(images, ours, theirs, size, seed):
    rng = np.random.default_rng(seed)
    student = rng.normal(size=(images, ours, size, 2 * size))
    teacher = rng.normal(size=(images, theirs, 2 * size, size))
    loss = FitNets(ours, theirs).double()
    with torch.no_grad():
        loss.bias.copy_(torch.from_numpy(rng.normal(size=theirs)))
    found = loss(torch.from_numpy(student), torch.from_numpy(teacher))
    weight, bias = (parameter.detach().numpy() for parameter in loss.parameters())
    assert found.item() == pytest.approx(reference(weight, bias, student, teacher), rel=1e-12)


def test_its_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    loss, teacher = FitNets(3, 2).double(), torch.randn(2, 2, 2, 2, dtype=torch.float64)
    student = torch.randn(2, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    parameters = [*loss.parameters()]

    def value(student, *_):
        return loss(student, teacher)

    assert torch.autograd.gradcheck(value, (student, *parameters))


def test_a_hint_that_is_linear_in_the_student_is_met_exactly_and_by_training():
    torch.manual_seed(1)
    student = torch.randn(8, 3, 4, 4)
    weight, bias = torch.randn(5, 3), torch.randn(5)
    teacher = torch.einsum("oi,bihw->bohw", weight, student) + bias[:, None, None]
    loss = FitNets(3, 5)
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0, momentum=0.5)
    first = loss(student, teacher).item()
    for _ in range(200):
        optimizer.zero_grad()
        loss(student, teacher).backward()
        optimizer.step()
    assert loss(student, teacher).item() < 1e-9 * first
    torch.testing.assert_close(loss.weight, weight, rtol=1e-3, atol=1e-4)
    leaf = student.clone().requires_grad_()
    loss.load_state_dict({"weight": weight, "bias": bias})
    loss(leaf, teacher).backward()
    assert leaf.grad.abs().max() < 1e-7


def test_the_size_of_batch_and_maps_does_not_matter():
    torch.manual_seed(2)
    loss, student, teacher = FitNets(3, 5), torch.randn(4, 3, 2, 2), torch.randn(4, 5, 2, 2)
    expected = loss(student, teacher).item()
    assert loss(student.repeat(3, 1, 1, 1), teacher.repeat(3, 1, 1, 1)).item() == pytest.approx(
        expected
    )
    # Averaging to the smaller size undoes a repetition of every position.
    large = student.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert loss(large, teacher).item() == pytest.approx(expected)


def test_no_gradient_reaches_the_teacher():
    student = torch.randn(2, 3, 2, 2, requires_grad=True)
    teacher = torch.randn(2, 4, 2, 2, requires_grad=True)
    loss = FitNets(3, 4)
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert all(leaf.grad.abs().sum() > 0 for leaf in (student, *loss.parameters()))


def test_its_weights_are_drawn_from_a_generator_and_nothing_else_is():
    before = torch.get_rng_state()
    one, same, other = (FitNets(9, 4, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    assert 0.2 < one.weight.abs().max() <= 1 / 3
    assert torch.count_nonzero(one.bias) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    torch.manual_seed(3)
    loss = FitNets(3, 4)
    student, teacher = (300 * torch.randn(2, 3, 2, 2)).to(dtype), torch.randn(2, 4, 2, 2).to(dtype)
    found = loss(student, teacher)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loss(student.float(), teacher.float()).item())
    assert found.item() > 1000


@pytest.mark.parametrize(
    ("student", "teacher", "words"),
    [
        ((2, 3, 4, 4), (3, 5, 4, 4), r"\[2, 3, 4, 4\], the teacher's \[3, 5, 4, 4\]"),
        ((2, 3), (2, 5), "fitnets needs maps"),
        ((2, 4, 4, 4), (2, 5, 4, 4), r"from 3 to 5 channels; the student's maps are \[2, 4, 4, 4"),
        ((2, 3, 4, 4), (2, 3, 4, 4), r"from 3 to 5 channels"),
    ],
)
def test_maps_that_do_not_fit_are_named(student, teacher, words):
    with pytest.raises(ValueError, match=words):
        FitNets(3, 5)(torch.zeros(student), torch.zeros(teacher))


def test_a_teacher_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite features of the teacher; 4 of 4"):
        FitNets(1, 1)(torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), torch.nan))
