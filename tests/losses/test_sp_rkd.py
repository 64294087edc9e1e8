"""Similarity-preserving and relational distillation: loops in NumPy, and what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import huber

from tutelage.losses import rkd, sp

torch.set_num_threads(1)
LOSSES = {"sp": sp, "rkd": rkd}


def similarities(features):
    rows = features.reshape(len(features), -1)
    found = np.array([[float(one @ other) for other in rows] for one in rows])
    return found / np.sqrt((found**2).sum(1, keepdims=True))


def sp_reference(student, teacher):
    gap = similarities(student) - similarities(teacher)
    return np.linalg.norm(gap, "fro") ** 2 / len(student) ** 2


def relations(features):
    rows, images = features.reshape(len(features), -1), range(len(features))
    apart = np.array([[np.linalg.norm(rows[i] - rows[j]) for j in images] for i in images])
    mean = np.mean([apart[i, j] for i in images for j in images if i != j])
    cosines = np.zeros((len(rows),) * 3)
    for i in images:
        for j in images:
            for k in images:
                if i not in (j, k):
                    inner = (rows[j] - rows[i]) @ (rows[k] - rows[i])
                    cosines[i, j, k] = inner / apart[i, j] / apart[i, k]
    return apart / mean, cosines


def rkd_reference(student, teacher, distance_weight=25.0, angle_weight=50.0):
    (ours, our_cosines), (theirs, their_cosines) = relations(student), relations(teacher)
    distance = huber(1.0, ours - theirs).mean()
    return (
        distance_weight * distance + angle_weight * huber(1.0, our_cosines - their_cosines).mean()
    )


def features(seed, images, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(images, *shape)) + rng.normal() for shape in shapes]


SHAPES = st.sampled_from([(1,), (5,), (3, 2, 2), (2, 1, 4)])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), SHAPES, SHAPES, st.integers(0, 2**31))
def test_sp_is_what_loops_over_images_give(images, ours, theirs, seed):
    student, teacher = features(seed, images, ours, theirs)
    found = sp(torch.from_numpy(student), torch.from_numpy(teacher))
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(sp_reference(student, teacher), rel=1e-10, abs=1e-14)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), SHAPES, SHAPES, st.floats(0, 30), st.floats(0, 30), st.integers(0, 2**31))
def test_rkd_is_what_loops_over_triplets_give(images, ours, theirs, distance, angle, seed):
    student, teacher = features(seed, images, ours, theirs)
    found = rkd(torch.from_numpy(student), torch.from_numpy(teacher), distance, angle)
    expected = rkd_reference(student, teacher, distance, angle)
    assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences_of_the_reference(name):
    student, teacher = features(3, 4, (3, 2, 1), (5,))
    leaf = torch.from_numpy(student).requires_grad_()
    LOSSES[name](leaf, torch.from_numpy(teacher)).backward()
    reference, step = {"sp": sp_reference, "rkd": rkd_reference}[name], 1e-6
    for place in np.ndindex(*student.shape):
        moved = [student.copy(), student.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        slope = (reference(moved[0], teacher) - reference(moved[1], teacher)) / (2 * step)
        assert leaf.grad[place].item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_sp_of_two_images_by_hand():
    # Ours are orthogonal: G is the identity. Theirs are alike: every entry is 1/sqrt(2).
    ours, theirs = torch.eye(2), torch.ones(2, 3)
    half = 0.5**0.5
    assert float(sp(ours, theirs)) == pytest.approx((2 * (1 - half) ** 2 + 2 * half**2) / 4)


def test_rkd_of_three_images_by_hand():
    # On a line at 0, 1, 2 (distances 1, 1, 2) against an equilateral triangle (all 1).
    line = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    triangle = torch.tensor([[0, 0], [1, 0], [0.5, 0.75**0.5]], dtype=torch.float64)
    # In units of their mean, 4/3: 3/4, 3/4, 3/2, against 1, 1, 1; each pair counts twice.
    distance = 2 * (2 * 0.5 * 0.25**2 + 0.5 * 0.5**2) / 9
    assert float(rkd(line, triangle, 1, 0)) == pytest.approx(distance)
    # Cosines 1, -1, 1 at the three against 1/2 each: gaps 1/2, 3/2, 1/2; both orders of j and k.
    angle = 2 * (0.5 * 0.25 + 1.0 + 0.5 * 0.25) / 27
    assert float(rkd(line, triangle, 0, 1)) == pytest.approx(angle)
    assert float(rkd(line, triangle)) == pytest.approx(25 * distance + 50 * angle)


@pytest.mark.parametrize("name", LOSSES)
def test_zero_and_stationary_at_the_teacher_whatever_the_rotation_and_the_scale(name):
    torch.manual_seed(0)
    teacher = torch.randn(6, 5, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    student = (-3.0 * teacher @ rotation).requires_grad_()
    loss = LOSSES[name](student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-25)
    assert student.grad.abs().max() < 1e-12
    other = torch.randn(6, 4, dtype=torch.float64)
    expected = float(LOSSES[name](other, teacher))
    assert expected > 1e-3
    assert float(LOSSES[name](other, 7 * teacher @ rotation)) == pytest.approx(expected)


def test_rkd_does_not_see_a_shift_and_sp_does():
    ours, theirs = (torch.from_numpy(each) for each in features(1, 5, (4,), (3,)))
    assert float(rkd(ours + 2, theirs)) == pytest.approx(float(rkd(ours, theirs)))
    assert abs(float(sp(ours + 2, theirs)) - float(sp(ours, theirs))) > 1e-3


def test_half_of_the_images_twice_changes_the_loss_as_batches_do():
    # Sums of B^2 and B^3 entries over as many: a batch that is there twice, whose distances' mean
    # falls by (B - 1) / (B - 1/2), since an image is no further from its copy than from itself.
    ours, theirs = (torch.from_numpy(each) for each in features(2, 4, (3,), (6,)))
    both = [torch.cat((each, each)) for each in (ours, theirs)]
    assert float(rkd(*both, 0, 1)) == pytest.approx(float(rkd(ours, theirs, 0, 1)))
    assert float(sp(*both)) == pytest.approx(float(sp(ours, theirs)) / 2)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("who", ["all dead", "two alike", "one image"])
def test_embeddings_in_one_place_have_finite_values_and_gradients(name, who):
    torch.manual_seed(0)
    student = torch.zeros(4, 3) if who == "all dead" else torch.randn(4, 3)
    student[1] = student[0]
    teacher = torch.randn(4, 3)
    if who == "one image":
        student, teacher = student[:1], teacher[:1]
    student.requires_grad_()
    loss = LOSSES[name](student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.abs().max() < 100
    if who == "two alike":
        assert student.grad.abs().max() > 1e-4
    same = LOSSES[name](student, student)  # a teacher may have such images too
    assert same.item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_reaches_the_teacher(name):
    student, teacher = torch.randn(3, 2, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    LOSSES[name](student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(name, dtype):
    torch.manual_seed(1)
    student, teacher = (300 * torch.randn(4, 8)).to(dtype), torch.randn(4, 6).to(dtype)
    found = LOSSES[name](student, teacher)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(LOSSES[name](student.float(), teacher.float())))


@pytest.mark.parametrize("name", LOSSES)
def test_a_student_that_diverged_is_seen(name):
    student = torch.randn(4, 3)
    teacher = torch.randn(4, 3)
    student[2, 1] = torch.nan
    assert not LOSSES[name](student, teacher).isfinite()
    if name == "rkd":  # each of its parts sees it
        assert not rkd(student, teacher, 25.0, 0.0).isfinite()
        assert not rkd(student, teacher, 0.0, 50.0).isfinite()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("student", "teacher", "words"),
    [
        ((4, 3), (5, 3), r"the student's are \[4, 3\], the teacher's \[5, 3\]"),
        ((4,), (4, 3), r"needs features \[batch, ...\] of the same images"),
        ((0, 3), (0, 3), r"are \[0, 3\]"),
        ((4, 0), (4, 3), r"are \[4, 0\]"),
    ],
)
def test_features_that_do_not_fit_are_named(name, student, teacher, words):
    with pytest.raises(ValueError, match=words) as caught:
        LOSSES[name](torch.zeros(student), torch.zeros(teacher))
    assert str(caught.value).startswith(f"{name} needs features")


@pytest.mark.parametrize("name", LOSSES)
def test_a_teacher_that_is_not_finite_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} needs finite features of the teacher; 2 of 6"):
        LOSSES[name](torch.ones(2, 3), torch.tensor([[1.0, 1, torch.inf], [1, torch.nan, 1]]))


@pytest.mark.parametrize("weights", [(-1.0, 1.0), (1.0, float("nan"))])
def test_weights_of_rkd_are_checked(weights):
    with pytest.raises(ValueError, match="_weight of at least 0"):
        rkd(torch.eye(2), torch.eye(2), *weights)
