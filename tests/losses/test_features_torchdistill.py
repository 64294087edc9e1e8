"""Our losses of features beside torchdistill's: equal where it is the formula, and where not, why.

It has SP, RKD and CRD; FitNets there is PyTorch's MSE loss on modules of one's own. Seen: 1.1.5.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.losses import CRD, FitNets, rkd, sp

mid_level = pytest.importorskip("torchdistill.losses.mid_level")
torch.set_num_threads(1)

OUT = {"student_output_path": "m", "teacher_output_path": "m"}


def theirs(loss, student, teacher):
    return loss({"m": {"output": student}}, {"m": {"output": teacher}})


def pair(*shapes):
    generator = torch.Generator().manual_seed(len(shapes[0]))
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def both_with_gradients(ours, other, student, teacher):
    found = []
    for function in (ours, other):
        leaf = student.clone().requires_grad_()
        value = function(leaf, teacher)
        value.backward()
        found.append((value.detach(), leaf.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-8, atol=1e-12)


SHAPES = [((6, 5), (6, 7)), ((8, 3, 4, 4), (8, 5, 2, 2))]


@pytest.mark.parametrize("shapes", SHAPES)
def test_sp_with_rows_of_length_one_is_the_formula_and_theirs_have_sum_one(shapes):
    """It calls `normalize(products, 1)`, whose second argument is the norm's p, not the dimension:
    rows have an L1 norm of 1, where equation 3 of the paper and its authors' code have L2."""
    loss = mid_level.SPKDLoss(**OUT, reduction="batchmean")
    student, teacher = pair(*shapes)

    def with_norm(p, one, other):
        rows = [each.flatten(1) for each in (one, other)]
        ours, others = (nn.functional.normalize(row @ row.T, p=p, dim=1) for row in rows)
        return (ours - others).square().sum() / len(one) ** 2

    both_with_gradients(
        lambda *both: with_norm(1, *both), lambda s, t: theirs(loss, s, t), student, teacher
    )
    both_with_gradients(sp, lambda *both: with_norm(2, *both), student, teacher)
    assert sp(student, teacher) > 1.5 * theirs(loss, student, teacher)


@pytest.mark.parametrize("shapes", SHAPES)
def test_rkd_is_the_same_where_no_two_embeddings_coincide(shapes):
    loss = mid_level.RKDLoss(**OUT, dist_factor=25.0, angle_factor=50.0, reduction="mean")
    both_with_gradients(rkd, lambda s, t: theirs(loss, s, t), *pair(*shapes))


def test_rkd_of_embeddings_that_coincide_has_a_gradient_of_millions_there():
    """It clamps squared distances at 1e-12 and divides by lengths of at least 1e-12; dead ReLUs are
    enough for two images in one place. It also gives both the distance 1e-6."""
    student, teacher = pair((6, 5), (6, 7))
    student[1] = student[0]
    loss = mid_level.RKDLoss(**OUT, dist_factor=25.0, angle_factor=50.0, reduction="mean")
    sizes = []
    for function in (rkd, lambda s, t: theirs(loss, s, t)):
        leaf = student.clone().requires_grad_()
        function(leaf, teacher).backward()
        sizes.append(leaf.grad.abs().max().item())
    assert sizes[0] < 10
    assert sizes[1] > 1e6


def crd_pair(images=30, negatives=8):
    """Ours and theirs with the same memories and temperature."""
    torch.manual_seed(0)
    ours = CRD((5, 4), images, dimensions=6, negatives=negatives, temperature=0.3, momentum=0.25)
    other = mid_level.CRDLoss("s", "e", "t", 6, images, negatives, images, 0.3, 0.25)
    other.memory_v1.copy_(ours.memories[0])
    other.memory_v2.copy_(ours.memories[1])
    return ours, other


def crd_theirs(other, ours, student, teacher, index, places):
    """Its loss of the embeddings that our layers give: it has those in another module."""
    embedded = [
        nn.functional.normalize(nn.functional.linear(*parts), dim=1)
        for parts in (
            (student, ours.student_weight, ours.student_bias),
            (teacher, ours.teacher_weight, ours.teacher_bias),
        )
    ]
    # The first of an image's places is the positive.
    more = {"pos_idx": index, "contrast_idx": torch.cat((index[:, None], places), 1)}
    io = {"s": {"output": embedded[0]}, "e": {"input": more}}
    return other(io, {"t": {"output": embedded[1]}}).squeeze()


def test_crd_is_the_same_with_its_memories_and_constants():
    """Up to its 1e-7 beside k / N, and float32."""
    ours, other = crd_pair()
    for _ in range(3):
        student, teacher = torch.randn(4, 5), torch.randn(4, 4)
        index = torch.randperm(30)[:4]
        places = ours.draw(index)
        found = []
        for function in (ours, lambda *given: crd_theirs(other, ours, *given)):
            leaf = student.clone().requires_grad_()
            value = function(leaf, teacher, index, places)
            (gradient,) = torch.autograd.grad(value, leaf)
            found.append((value.detach(), gradient))
        torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.memories[0], other.memory_v1)
        torch.testing.assert_close(ours.memories[1], other.memory_v2)
        torch.testing.assert_close(ours.constants, other.params[2:4])


def test_crd_cannot_draw_negatives_there_and_would_draw_the_positive():
    """`draw` reads `self.prob`, which is called `probs`; named so, it draws from all images, the
    image itself and those of its class among them."""
    ours, other = crd_pair()
    with pytest.raises(AttributeError, match="prob"):
        other.draw(3)
    other.prob = other.probs
    assert set(other.draw(5000).tolist()) == set(range(30))
    assert 7 not in ours.draw(torch.tensor([7]))


def test_fitnets_is_its_mse_of_a_convolution_with_batchnorm():
    torch.manual_seed(0)
    loss = FitNets(3, 5)
    regressor = nn.Sequential(nn.Conv2d(3, 5, 1, bias=False), nn.BatchNorm2d(5))
    with torch.no_grad():
        regressor[0].weight.copy_(loss.weight[:, :, None, None])
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    place = {"io": "output", "module_path": "m"}
    wrapped = mid_level.SimpleLossWrapper(
        nn.MSELoss(),
        input=place | {"is_from_teacher": False},
        target=place | {"is_from_teacher": True},
    )
    torch.testing.assert_close(
        loss(student, teacher), theirs_wrapped(wrapped, regressor(student), teacher)
    )


def theirs_wrapped(loss, student, teacher):
    return loss({"m": {"output": student}}, {"m": {"output": teacher}}, None)


@pytest.mark.parametrize("name", ["sp", "rkd"])
def test_gradients_reach_the_teacher_there(name):
    """Its loop runs the teacher without gradient, and RKD sees to it itself; ours always do."""
    student, teacher = pair((6, 5), (6, 7))
    teacher.requires_grad_()
    {"sp": sp, "rkd": rkd}[name](student.clone().requires_grad_(), teacher).backward()
    assert teacher.grad is None
    if name == "sp":
        theirs(mid_level.SPKDLoss(**OUT, reduction="batchmean"), student, teacher).backward()
        assert teacher.grad.any()
