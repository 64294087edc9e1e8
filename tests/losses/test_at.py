"""Attention transfer, against loops in NumPy and what is known of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.losses import at
from tutelage.losses.at import attention


def pooled(square, height, width):
    """The means of the cells of a map that is a multiple of the size."""
    rows, columns = square.shape[0] // height, square.shape[1] // width
    return np.array([[square[i * rows:(i + 1) * rows, j * columns:(j + 1) * columns].mean()
                      for j in range(width)] for i in range(height)])  # fmt: skip


def reference(students, teachers):
    total = 0.0
    for student, teacher in zip(students, teachers, strict=True):
        height = min(student.shape[2], teacher.shape[2])
        width = min(student.shape[3], teacher.shape[3])
        means = []
        for one, other in zip(student, teacher, strict=True):
            rows = []
            for maps in (one, other):
                square = pooled((maps**2).mean(0), height, width).reshape(-1)
                rows.append(square / np.sqrt((square**2).sum()))
            means.append(((rows[0] - rows[1]) ** 2).mean())
        total += np.mean(means)
    return total


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3),
       st.integers(0, 2**31))  # fmt: skip
def test_it_is_what_loops_over_images_give(images, sizes, seed):
    rng = np.random.default_rng(seed)
    students, teachers = [], []
    for size in sizes:
        students.append(rng.normal(size=(images, rng.integers(1, 6), size, 2 * size)))
        teachers.append(rng.normal(size=(images, rng.integers(1, 6), 2 * size, size)))
    found = at([torch.from_numpy(maps) for maps in students],
               [torch.from_numpy(maps) for maps in teachers])  # fmt: skip
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(reference(students, teachers), rel=1e-12, abs=1e-15)


def test_its_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    student = [torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)]
    teacher = [torch.randn(2, 5, 2, 2, dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda maps: at([maps], teacher), student)


def test_two_positions_by_hand():
    # Squares 9 and 16 of one, 16 and 9 of the other: rows (9, 16) and (16, 9) over sqrt(337).
    student = torch.tensor([[[[3.0, 4.0]]]])
    teacher = torch.tensor([[[[4.0, 3.0]]]])
    assert float(at([student], [teacher])) == pytest.approx(49 / 337)
    assert attention(student).tolist() == [pytest.approx([9 / 337**0.5, 16 / 337**0.5])]


def test_scale_sign_and_order_of_channels_do_not_matter():
    torch.manual_seed(1)
    student, teacher = torch.randn(3, 4, 5, 5), torch.randn(3, 2, 5, 5)
    expected = float(at([student], [teacher]))
    other = -7.0 * student[:, torch.tensor([2, 0, 3, 1])]
    assert float(at([other], [0.1 * teacher])) == pytest.approx(expected, rel=1e-5)
    assert expected > 0.001


def test_no_gradient_reaches_the_teacher_and_one_s_own_teacher_teaches_nothing():
    student = torch.randn(2, 3, 4, 4, requires_grad=True)
    teacher = student.detach().clone().requires_grad_()
    loss = at([student], [teacher])
    loss.backward()
    assert loss.item() == 0.0
    assert teacher.grad is None
    assert torch.count_nonzero(student.grad) == 0


def test_a_dead_map_has_finite_values_and_gradients():
    student = torch.zeros(2, 3, 4, 4, requires_grad=True)
    loss = at([student], [torch.randn(2, 3, 4, 4)])
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    torch.manual_seed(2)
    maps = 300 * torch.randn(2, 3, 4, 4).to(dtype)  # squares beyond fp16
    other = torch.randn(2, 3, 4, 4).to(dtype)
    found = at([maps], [other])
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(at([maps.float()], [other.float()])))


@pytest.mark.parametrize(
    ("students", "teachers", "words"),
    [
        ([], [], "there are 0 and 0"),
        ([(2, 3, 4, 4)], [], "there are 1 and 0"),
        ([(2, 3, 4, 4)], [(3, 3, 4, 4)], r"\[2, 3, 4, 4\], the teacher's \[3, 3, 4, 4\]"),
        ([(2, 3)], [(2, 3)], r"are \[2, 3\]"),
    ],
)
def test_maps_that_do_not_fit_are_named(students, teachers, words):
    with pytest.raises(ValueError, match=words):
        at([torch.zeros(shape) for shape in students], [torch.zeros(shape) for shape in teachers])


def test_a_teacher_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite maps of the teacher"):
        at([torch.ones(1, 1, 2, 2)], [torch.full((1, 1, 2, 2), torch.nan)])


@pytest.mark.parametrize(
    ("ours", "theirs", "size"),
    [((2, 6), (4, 3), (2, 3)), ((6, 2), (3, 4), (3, 2)), ((5, 5), (4, 6), (4, 5))],
)
def test_maps_of_any_shape_are_averaged_to_the_smaller_height_and_width(ours, theirs, size):
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(4, 2, *ours, generator=generator)
    teacher = torch.randn(4, 3, *theirs, generator=generator)
    rows = []
    for maps in (student, teacher):
        squares = torch.nn.functional.adaptive_avg_pool2d(maps.square().mean(1), size).flatten(1)
        rows.append(squares / squares.norm(dim=1, keepdim=True))
    expected = (rows[0] - rows[1]).square().mean()
    torch.testing.assert_close(at([student], [teacher]), expected)
