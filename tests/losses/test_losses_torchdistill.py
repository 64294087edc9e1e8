"""Our losses beside torchdistill's: equal where its code is the formula, and where not, why.

Of these it has KD, DIST and standardised KD, and PyTorch's losses in a wrapper; it has no DKD and
no Annealing-KD. Seen with 1.1.5.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutelage.losses import dist, kd, mse, standardise

mid_level = pytest.importorskip("torchdistill.losses.mid_level")
torch.set_num_threads(1)

WHERE = ("model", "output", "model", "output")  # where its losses find the logits
SHAPES = [(1, 2), (6, 5), (32, 10), (9, 100)]


def pair(images=32, classes=10, dtype=torch.float64, scale=3.0):
    """Logits of a student and a teacher, and labels."""
    generator = torch.Generator().manual_seed(images * classes)
    both = torch.randn(2, images, classes, generator=generator, dtype=torch.float64) * scale
    labels = torch.randint(0, classes, (images,), generator=generator)
    return both[0].to(dtype), both[1].to(dtype), labels


def theirs(loss, student, teacher, labels=None):
    """One of its losses, called as its training loop does."""
    return loss({"model": {"output": student}}, {"model": {"output": teacher}}, labels)


def both_with_gradients(ours, loss, student, teacher, labels=None):
    """Asserts that values and gradients of ours and of theirs agree."""
    found = []
    for function in (ours, lambda s, t: theirs(loss, s, t, labels)):
        leaf = student.clone().requires_grad_()
        value = function(leaf, teacher)
        value.backward()
        found.append((value.detach(), leaf.grad))
    (value, gradient), (their_value, their_gradient) = found
    torch.testing.assert_close(value, their_value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient, their_gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize(("images", "classes"), SHAPES)
def test_kd_with_labels_is_the_same(images, classes, temperature):
    student, teacher, labels = pair(images, classes)
    loss = mid_level.KDLoss(*WHERE, temperature=temperature, alpha=0.1, beta=0.9)

    def ours(s, t):
        return 0.1 * F.cross_entropy(s, labels) + 0.9 * kd(s, t, temperature)

    both_with_gradients(ours, loss, student, teacher, labels)


@pytest.mark.parametrize("alpha", [0, None])
def test_kd_without_labels_lost_its_weight_and_tau_squared_there(alpha):
    """The fault "tau^2 dropped when a weight is 0": without a weight of the cross-entropy, or
    without labels, its `forward` returns the bare KL before beta and tau^2 are applied."""
    student, teacher, labels = pair()
    loss = mid_level.KDLoss(*WHERE, temperature=4.0, alpha=alpha, beta=0.9)
    bare = theirs(loss, student, teacher, labels)
    torch.testing.assert_close(bare, kd(student, teacher, 4.0) / 16)
    near = mid_level.KDLoss(*WHERE, temperature=4.0, alpha=1e-9, beta=0.9)
    jump = theirs(near, student, teacher, labels) / bare
    assert jump.item() == pytest.approx(0.9 * 16, rel=1e-6)


def test_kd_with_its_reduction_mean_is_divided_by_the_classes():
    """It hands `reduction` on to PyTorch's KL, whose "mean" is over all numbers."""
    student, teacher, labels = pair()
    loss = mid_level.KDLoss(*WHERE, temperature=4.0, alpha=1e-12, beta=1, reduction="mean")
    with pytest.warns(UserWarning, match="reduction"):
        found = theirs(loss, student, teacher, labels)
    torch.testing.assert_close(found, kd(student, teacher, 4.0) / 10)


def test_kd_in_half_precision_stays_in_half_precision_there():
    """Ours is computed in float32; theirs in what comes in, here bfloat16 with 8 bits."""
    student, teacher, labels = pair(64, 100, torch.bfloat16)
    exact = kd(student.double(), teacher.double(), 4.0).item()
    loss = mid_level.KDLoss(*WHERE, temperature=4.0, alpha=1e-30, beta=1)
    their_value = theirs(loss, student, teacher, labels)
    assert their_value.dtype == torch.bfloat16
    assert abs(kd(student, teacher, 4.0).item() - exact) < 1e-5 * exact
    assert abs(their_value.item() - exact) > 1e-4 * exact


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 2.0), (0.0, 1.0)])
@pytest.mark.parametrize(("images", "classes"), SHAPES[1:])
def test_dist_is_the_same(images, classes, weights, temperature):
    # Its norms are at least 1e-8, ours 1e-12: logits are such that no class is near either.
    student, teacher, _ = pair(images, classes, scale=1.0)
    loss = mid_level.DISTLoss(*WHERE, beta=weights[0], gamma=weights[1], tau=temperature)
    both_with_gradients(lambda s, t: dist(s, t, temperature, *weights), loss, student, teacher)


def test_dist_of_a_teacher_that_says_nothing_costs_tau_squared_there():
    """It takes the correlation with a constant as 0, so its loss is tau^2, with no gradient to
    lower it. There is no such correlation: ours leaves it out, and the gradients are the same."""
    student, teacher, _ = pair()
    teacher[:8] = 0.0
    gradients = []
    values = []
    loss = mid_level.DISTLoss(*WHERE, beta=1.0, gamma=0.0, tau=4.0)
    for function in (lambda s: dist(s, teacher, 4.0, 1, 0), lambda s: theirs(loss, s, teacher)):
        leaf = student.clone().requires_grad_()
        value = function(leaf)
        value.backward()
        values.append(value.item())
        gradients.append(leaf.grad)
    assert values[1] - values[0] == pytest.approx(16 * 8 / 32, rel=1e-12)
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


def test_dist_of_a_single_image_costs_tau_squared_there():
    """For the same reason: over one image every class is constant."""
    student, teacher, _ = pair(1, 10, scale=1.0)
    loss = mid_level.DISTLoss(*WHERE, tau=4.0)
    gap = theirs(loss, student, teacher) - dist(student, teacher, 4.0)
    assert gap.item() == pytest.approx(16, rel=1e-12)


@pytest.mark.parametrize(("images", "classes"), SHAPES)
def test_standardised_kd_with_labels_is_the_same(images, classes):
    student, teacher, labels = pair(images, classes)
    loss = mid_level.LogitStdKDLoss(*WHERE, temperature=2.0, alpha=0.1, beta=9)

    def ours(s, t):
        return 0.1 * F.cross_entropy(s, labels) + 9 * kd(standardise(s), standardise(t), 2.0)

    both_with_gradients(ours, loss, student, teacher, labels)


def test_standardised_kd_without_labels_lost_its_weight_and_tau_squared_there():
    """As its KD."""
    student, teacher, labels = pair()
    loss = mid_level.LogitStdKDLoss(*WHERE, temperature=2.0, alpha=0, beta=9)
    ours = kd(standardise(student), standardise(teacher), 2.0)
    torch.testing.assert_close(theirs(loss, student, teacher, labels), ours / 4)


def test_its_squared_distance_is_divided_by_the_classes():
    """What it offers is PyTorch's, a mean over images and classes; the paper's is a sum over
    classes: with the same weight, a hundred classes learn a hundredth."""
    student, teacher, _ = pair(9, 100)
    place = {"is_from_teacher": False, "module_path": "model", "io": "output"}
    loss = mid_level.SimpleLossWrapper(
        nn.MSELoss(), input=place, target=place | {"is_from_teacher": True}
    )
    torch.testing.assert_close(theirs(loss, student, teacher), mse(student, teacher) / 100)


@pytest.mark.parametrize("name", ["kd", "dist", "standardised kd"])
def test_gradients_reach_the_teacher_there(name):
    """Its loop runs the teacher without gradient; the losses alone do not see to it, ours do."""
    student, teacher, labels = pair()
    loss, ours = {
        "kd": (mid_level.KDLoss(*WHERE, temperature=4.0, alpha=0.1), lambda s, t: kd(s, t, 4.0)),
        "dist": (mid_level.DISTLoss(*WHERE, tau=4.0), lambda s, t: dist(s, t, 4.0)),
        "standardised kd": (
            mid_level.LogitStdKDLoss(*WHERE, temperature=2.0, alpha=0.1),
            lambda s, t: kd(standardise(s), standardise(t), 2.0),
        ),
    }[name]
    teacher.requires_grad_()
    ours(student.clone().requires_grad_(), teacher).backward()
    assert teacher.grad is None
    theirs(loss, student, teacher, labels).backward()
    assert teacher.grad.any()
