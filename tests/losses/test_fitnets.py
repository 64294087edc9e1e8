"""Hints: against loops in NumPy, and solved where they can be."""

from __future__ import annotations

import copy

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


def reference(weight, scale, bias, student, teacher):
    size = tuple(np.minimum(student.shape[2:], teacher.shape[2:]))
    regressed, hints = [], []
    for one, other in zip(student, teacher, strict=True):
        guided = np.stack([pooled(channel, size) for channel in one])
        hint = np.stack([pooled(channel, size) for channel in other])
        for i, j in np.ndindex(*size):
            regressed.append(weight @ guided[:, i, j])
            hints.append(hint[:, i, j])
    regressed = np.array(regressed)
    standard = (regressed - regressed.mean(0)) / np.sqrt(regressed.var(0) + 1e-5)
    return np.mean((scale * standard + bias - np.array(hints)) ** 2)


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
        loss.scale.copy_(torch.from_numpy(rng.normal(size=theirs)))
    found = loss(torch.from_numpy(student), torch.from_numpy(teacher))
    parts = (parameter.detach().numpy() for parameter in (loss.weight, loss.scale, loss.bias))
    assert found.item() == pytest.approx(reference(*parts, student, teacher), rel=1e-9)


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
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.5, momentum=0.9)
    first = loss(student, teacher).item()
    for _ in range(300):
        optimizer.zero_grad()
        loss(student, teacher).backward()
        optimizer.step()
    assert loss(student, teacher).item() < 1e-6 * first
    variance, mean = torch.var_mean(teacher, (0, 2, 3), correction=0)
    exact = {"weight": weight, "scale": (variance + 1e-5).sqrt(), "bias": mean}
    loss.load_state_dict(exact)
    leaf = student.clone().requires_grad_()
    value = loss(leaf, teacher)
    value.backward()
    assert value.item() < 1e-10
    assert leaf.grad.abs().max() < 1e-6


def test_an_image_of_one_position_has_nothing_to_standardise():
    loss = FitNets(2, 1)
    student = torch.randn(1, 2, 1, 1, requires_grad=True)
    found = loss(student, torch.full((1, 1, 1, 1), 3.0))
    found.backward()
    assert found.item() == pytest.approx(9.0)
    assert student.grad.isfinite().all()


def test_the_scale_of_the_student_does_not_matter():
    """Which is what keeps a weight of 100 from diverging: no product of three growing factors."""
    torch.manual_seed(5)
    loss, student, teacher = FitNets(3, 5), torch.randn(4, 3, 2, 2), torch.randn(4, 5, 2, 2)
    expected = loss(student, teacher).item()
    assert loss(100 * student, teacher).item() == pytest.approx(expected, rel=1e-3)


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
    assert (one.bias.tolist(), one.scale.tolist()) == ([0] * 4, [1] * 4)
    assert len(one.state_dict()) == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    torch.manual_seed(3)
    loss = FitNets(3, 4)
    student, teacher = torch.randn(2, 3, 2, 2).to(dtype), (300 * torch.randn(2, 4, 2, 2)).to(dtype)
    found = loss(student, teacher)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loss(student.float(), teacher.float()).item())
    assert found.item() > 66_000  # more than fp16 holds


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


@pytest.mark.parametrize(
    ("ours", "theirs", "size"),
    [((2, 6), (4, 3), (2, 3)), ((6, 2), (3, 4), (3, 2)), ((5, 5), (4, 6), (4, 5))],
)
def test_maps_of_any_shape_are_averaged_to_the_smaller_height_and_width(ours, theirs, size):
    generator = torch.Generator().manual_seed(0)
    module = FitNets(2, 3, generator)
    student = torch.randn(4, 2, *ours, generator=generator)
    teacher = torch.randn(4, 3, *theirs, generator=generator)
    small = [torch.nn.functional.adaptive_avg_pool2d(maps, size) for maps in (student, teacher)]
    torch.testing.assert_close(module(student, teacher), module(*small))


def test_maps_in_double_precision_are_regressed_in_it():
    generator = torch.Generator().manual_seed(0)
    module = FitNets(2, 3, generator)
    student = torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.float64)
    teacher = torch.randn(4, 3, 3, 3, generator=generator, dtype=torch.float64)
    found = module(student, teacher)
    assert found.dtype == torch.float64
    assert torch.equal(found, copy.deepcopy(module).double()(student, teacher))
