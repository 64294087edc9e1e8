"""Losses of logits in cases that can be computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_forms import HALVES, pair

from tutelage.losses import annealing, dist, dkd, kd, mse, standardise

torch.set_num_threads(1)


def float64(rows):
    return torch.tensor(rows, dtype=torch.float64)


def logits_of(probabilities, temperature):
    """Logits whose softmax at this temperature is what is given."""
    return temperature * float64(probabilities).log()


# Squared distances


def test_mse_sums_over_classes_and_averages_over_images():
    student = float64([[1, 2], [3, 4]]).requires_grad_()
    teacher = float64([[0, 4], [3, 1]])
    loss = mse(student, teacher)
    loss.backward()
    assert loss.item() == 7.0  # (1 + 4 + 0 + 9) / 2
    assert student.grad.tolist() == [[1, -2], [0, 3]]


def test_annealing_multiplies_the_teachers_logits_by_its_factor():
    student = float64([[1, 2], [3, 4]]).requires_grad_()
    loss = annealing(student, float64([[0, 4], [3, 1]]), 0.5)
    loss.backward()
    assert loss.item() == 7.75  # (1 + 0 + 2.25 + 12.25) / 2
    assert student.grad.tolist() == [[1, 0], [1.5, 3.5]]


def test_annealing_at_factor_one_is_mse():
    student, teacher, _ = pair()
    assert torch.equal(annealing(student, teacher, 1.0), mse(student, teacher))
    assert annealing(student, teacher, 0.5) != mse(student, teacher)


@pytest.mark.parametrize("factor", [0, -0.5, 1.001, math.inf, math.nan])
def test_annealing_needs_a_factor_up_to_one(factor):
    with pytest.raises(ValueError, match=f"factor.*{factor}"):
        annealing(*pair()[:2], factor)


def test_kd_tends_to_mse_of_centred_logits_over_twice_the_classes():
    student, teacher, _ = pair(8, 10)
    centred = (z - z.mean(-1, keepdim=True) for z in (student, teacher))
    limit = mse(*centred).item() / (2 * 10)
    off = [abs(kd(student, teacher, tau).item() / limit - 1) for tau in (1e3, 1e4)]
    assert off[0] < 1e-2
    assert off[1] == pytest.approx(off[0] / 10, rel=0.05)


# Decoupled


def test_dkd_of_quarters_and_halves():
    # The label's class 0: 1/2 against 1/2 for the teacher, 1/4 against 3/4 for the student; of the
    # others the teacher's are equal, the student's as 1 to 2.
    student = logits_of([[1 / 4, 1 / 4, 1 / 2]], 2.0)
    teacher = logits_of([[1 / 2, 1 / 4, 1 / 4]], 2.0)
    labels = torch.tensor([0])
    target = 4 * (math.log(2) + math.log(2 / 3)) / 2
    others = 4 * (math.log(3 / 2) + math.log(3 / 4)) / 2
    assert dkd(student, teacher, labels, 2.0, 1, 0).item() == pytest.approx(target, rel=1e-14)
    assert dkd(student, teacher, labels, 2.0, 0, 1).item() == pytest.approx(others, rel=1e-14)
    both = dkd(student, teacher, labels, 2.0).item()
    assert both == pytest.approx(target + 8 * others, rel=1e-14)


@given(seed=st.integers(0, 10_000), temperature=st.floats(0.5, 20))
@settings(max_examples=50, deadline=None)
def test_dkd_with_the_teachers_own_weights_is_kd(seed, temperature):
    student, teacher, labels = pair(images=1, classes=7, seed=seed)
    others = 1 - (teacher / temperature).softmax(-1)[0, labels[0]].item()
    apart = dkd(student, teacher, labels, temperature, 1.0, others).item()
    # 1 - p has an absolute error of 1e-16, which the loss of the others multiplies.
    whole = kd(student, teacher, temperature).item()
    assert apart == pytest.approx(whole, rel=1e-11, abs=1e-12 * temperature**2)


@pytest.mark.parametrize("shift", [-1e6, 1e6])
def test_dkd_sees_no_shift_of_an_images_logits(shift):
    student, teacher, labels = pair()
    before = dkd(student, teacher, labels).item()
    for moved in ((student + shift, teacher), (student, teacher + shift)):
        assert dkd(*moved, labels).item() == pytest.approx(before, rel=1e-8)


def test_dkd_of_two_classes_has_no_others():
    """One class beside the label is all of the rest: that part is 0, the first is `kd`."""
    student, teacher, labels = pair(classes=2)
    assert dkd(student, teacher, labels, 4.0, 0.0, 8.0).item() == 0
    expected = kd(student, teacher, 4.0).item()
    assert dkd(student, teacher, labels).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dkd_at_logits_of_ten_thousand(dtype, temperature):
    student = torch.tensor([[1e4, -1e4, 0.0]], dtype=dtype)
    teacher = torch.tensor([[-1e4, 1e4, 0.0]], dtype=dtype)
    # Label 0: the student is 1e4 sure of it, the teacher sure of the rest, there by class 1, of
    # which the student is 1e4 sure that it is not. Label 1: the student is 2e4 from it; of the
    # others the teacher says 2, the student, by 1e4, 0.
    for label, expected in ((0, 1e4 + 8 * 1e4), (1, 2e4 + 8 * 1e4)):
        loss = dkd(student, teacher, torch.tensor([label]), temperature)
        assert loss.item() == pytest.approx(temperature * expected, rel=2e-3)  # bf16: 9984


@pytest.mark.parametrize(
    "labels",
    [
        torch.zeros(5, dtype=torch.int64),
        torch.zeros(6, 5, dtype=torch.int64),
        torch.zeros(6, dtype=torch.int32),
        torch.zeros(6),
    ],
)
def test_dkd_names_the_labels_that_it_needs_and_has(labels):
    student, teacher, _ = pair()
    with pytest.raises(ValueError, match=r"int64 \[6\] for logits \[6, 5\]") as caught:
        dkd(student, teacher, labels)
    kind = str(labels.dtype).removeprefix("torch.")
    assert f"{kind} {list(labels.shape)}" in str(caught.value)


@pytest.mark.parametrize("label", [5, -1, -100])
def test_dkd_does_not_take_a_label_that_is_no_class(label):
    student, teacher, labels = pair()
    labels[2] = label
    with pytest.raises(ValueError, match=f"labels from 0 to 4, for 5 classes; .* {label}"):
        dkd(student, teacher, labels)


def test_dkd_needs_a_class_beside_the_label():
    with pytest.raises(ValueError, match="at least two classes"):
        dkd(torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64))


# Correlation


def test_dist_of_rotated_probabilities():
    teacher = logits_of([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3]], 2.0)
    student = logits_of([[0.1, 0.6, 0.3], [0.6, 0.3, 0.1]], 2.0)
    # Each image: centred (8, -1, -7) against (-7, 8, -1) is -57 / 114. Each class: two images the
    # other way round, r = -1.
    assert dist(student, teacher, 2.0, 1, 0).item() == pytest.approx(4 * 1.5, rel=1e-13)
    assert dist(student, teacher, 2.0, 0, 1).item() == pytest.approx(4 * 2.0, rel=1e-13)
    assert dist(student, teacher, 2.0, 3, 0.5).item() == pytest.approx(4 * 5.5, rel=1e-13)


def mixed(logits, share, with_what, temperature):
    """Logits of (1 - share) * p + share * with_what."""
    p = (logits / temperature).softmax(-1)
    return temperature * ((1 - share) * p + share * with_what).log()


@given(seed=st.integers(0, 10_000), temperature=st.floats(1, 10))
@settings(max_examples=40, deadline=None)
def test_dist_sees_no_scale_and_shift_of_an_images_probabilities(seed, temperature):
    """Less sure by any amount, and another amount for each image: the images' part is as before."""
    student, teacher, _ = pair(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(6, 1, generator=generator, dtype=torch.float64) * 0.9
    unsure = mixed(student, share, 1 / 5, temperature)
    before, after = (dist(z, teacher, temperature, 1, 0).item() for z in (student, unsure))
    assert after == pytest.approx(before, rel=1e-9, abs=1e-9)
    # The classes' part does see who is unsure of what.
    classes = [dist(z, teacher, temperature, 0, 1).item() for z in (student, unsure)]
    assert classes[0] != pytest.approx(classes[1], rel=1e-6)


@given(seed=st.integers(0, 10_000), temperature=st.floats(1, 10))
@settings(max_examples=40, deadline=None)
def test_dist_sees_no_scale_and_shift_of_a_class_over_the_images(seed, temperature):
    """A prior of the classes mixed into every image: the classes' part is as before."""
    student, teacher, _ = pair(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    prior = torch.rand(5, generator=generator, dtype=torch.float64).softmax(0)
    biased = mixed(student, 0.7, prior, temperature)
    before, after = (dist(z, teacher, temperature, 0, 1).item() for z in (student, biased))
    assert after == pytest.approx(before, rel=1e-9, abs=1e-9)
    images = [dist(z, teacher, temperature, 1, 0).item() for z in (student, biased)]
    assert images[0] != pytest.approx(images[1], rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 5, 10, 100])
def test_dist_asks_nothing_for_an_image_of_which_the_teacher_says_nothing(dtype, classes):
    student, teacher = (z.to(dtype) for z in pair(classes=classes)[:2])
    teacher[2:] = 1.7
    student.requires_grad_()
    loss = dist(student, teacher, 4.0, 1, 0)
    loss.backward()
    told = dist(student[:2], teacher[:2], 4.0, 1, 0).item()
    assert loss.item() == pytest.approx(told * 2 / 6, rel=1e-5)
    assert student.grad[:2].any()
    assert not student.grad[2:].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("images", [2, 3, 6, 10, 128])
def test_dist_asks_nothing_for_classes_of_which_the_teacher_always_says_the_same(dtype, images):
    student, teacher = (z.to(dtype) for z in pair(images=images)[:2])
    teacher[:] = teacher[0].clone()
    student.requires_grad_()
    loss = dist(student, teacher, 4.0, 0, 1)
    loss.backward()
    assert loss.item() == 0
    assert not student.grad.any()


def test_dist_of_one_image_has_no_classes_to_compare():
    student, teacher, _ = pair(images=1)
    assert dist(student, teacher, 4.0, 0, 1).item() == 0
    assert dist(student, teacher) == dist(student, teacher, 4.0, 1, 0)


def test_dist_of_a_constant_student_is_that_of_no_correlation():
    _, teacher, _ = pair()
    assert dist(torch.zeros_like(teacher), teacher, 2.0, 1, 1).item() == pytest.approx(8, abs=1e-4)


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (dist, {"temperature": 0.0}),
        (dist, {"temperature": math.nan}),
        (dist, {"inter_weight": -1.0}),
        (dist, {"intra_weight": math.inf}),
        (dkd, {"temperature": -4.0}),
        (dkd, {"temperature": math.inf}),
        (dkd, {"target_weight": -0.1}),
        (dkd, {"non_target_weight": math.nan}),
    ],
)
def test_an_option_that_cannot_be_is_named_with_its_value(loss, options):
    student, teacher, labels = pair()
    ((option, value),) = options.items()
    arguments = (student, teacher) if loss is dist else (student, teacher, labels)
    with pytest.raises(ValueError, match=f"{loss.__name__} needs a finite {option}.*{value}"):
        loss(*arguments, **options)


@pytest.mark.parametrize("option", ["inter_weight", "intra_weight"])
def test_a_weight_of_zero_is_allowed(option):
    student, teacher, labels = pair()
    assert dist(student, teacher, **{option: 0.0}) < dist(student, teacher)
    assert dkd(student, teacher, labels, 4.0, 0.0, 0.0) == 0


# Standardised


def test_standardised_logits_of_small_numbers():
    found = standardise(float64([[1, 2, 3]]))
    assert found[0].tolist() == pytest.approx([-1, 0, 1], abs=2e-7)
    assert found[0, 2].item() == pytest.approx(1 / (1 + 1e-7), rel=1e-14)  # the original's epsilon
    found = standardise(float64([[0, 0, 0, 4]]))  # its variance is 12 / 3
    assert found[0].tolist() == pytest.approx([-0.5, -0.5, -0.5, 1.5], abs=2e-7)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.5, 50), shift=st.floats(-30, 30))
@settings(max_examples=40, deadline=None)
def test_standardised_kd_sees_no_scale_and_shift_of_the_students_logits(seed, scale, shift):
    student, teacher, _ = pair(seed=seed)
    both = standardise(student), standardise(scale * student + shift)
    before, after = (kd(z, standardise(teacher), 2.0).item() for z in both)
    assert after == pytest.approx(before, rel=1e-5)


def test_standardised_kd_sees_which_way_round_the_students_logits_are():
    student, teacher, _ = pair()
    student = teacher + 0.1 * student
    near, far = (kd(standardise(z), standardise(teacher), 2.0).item() for z in (student, -student))
    assert far > 10 * near


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_standardised_in_single(dtype):
    logits = pair()[0].to(dtype)
    found = standardise(logits)
    assert found.dtype == torch.float32
    assert torch.equal(found, standardise(logits.float()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALVES])
@pytest.mark.parametrize("classes", [3, 10, 100])
def test_a_constant_row_becomes_zeros_without_a_gradient(classes, dtype):
    logits = torch.tensor([[0.3] * classes, [1e4] * classes, [*range(classes)]]).to(dtype)
    logits.requires_grad_()
    found = standardise(logits)
    found[:, 0].sum().backward()
    assert not found[:2].any()
    assert not logits.grad[:2].any()
    assert found[2].any()
    assert logits.grad[2].any()


@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (2, 4, 1)])
def test_one_class_has_no_spread(shape):
    with pytest.raises(ValueError, match="at least two classes") as caught:
        standardise(torch.zeros(shape))
    assert str(list(shape)) in str(caught.value)


def test_dist_sees_a_student_that_is_nearly_sure_of_nothing():
    """Its rows are shorter than what rounding leaves of the teacher's, and still have a
    correlation."""
    generator = torch.Generator().manual_seed(0)
    student = 4e-6 * torch.randn(3, 100, generator=generator)
    teacher = torch.zeros(3, 100)
    teacher[:, 0] = 20.0
    student[:, 0] = 1e-5  # it leans the teacher's way
    p, q = (rows.double().softmax(1).numpy() for rows in (student, teacher))
    expected = np.mean([1 - np.corrcoef(*pair)[0, 1] for pair in zip(p, q, strict=True)])
    found = dist(student, teacher, temperature=1.0, intra_weight=0.0)
    assert float(found) == pytest.approx(expected, abs=0.02)
