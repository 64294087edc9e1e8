"""DIST: correlation instead of equality (Huang et al. 2022, arXiv 2205.10536)."""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.losses.checks import check_positive, check_weight, checked_logits, rounding


def dist(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 4.0,
    inter_weight: float = 1.0,
    intra_weight: float = 1.0,
) -> Tensor:
    """DIST's loss: a scalar that asks for correlation of predictions, not for their equality.

        inter_weight * tau^2 * (1 - mean over images  of Pearson(p_S[b, :], p_T[b, :]))
      + intra_weight * tau^2 * (1 - mean over classes of Pearson(p_S[:, c], p_T[:, c]))

    with p = softmax(z / tau) (equations 7 to 9). Both logits are [B, C], raw; with leading
    dimensions [..., B, C] each index of these has a loss of its own, [...]. Where the teacher's
    vector is constant it has no correlation, and asks for nothing; a constant one of the student
    has none either, which costs 1, and no direction to leave it in: the gradient is 0. The
    original's weights: 2 for this loss, 1 for the cross-entropy; tau is 1 (ImageNet) or 4 (CIFAR).

    Raises ValueError for shapes that differ or are not [..., B, C], for logits of the teacher that
    are not finite, a temperature that is not finite and above 0, and weights below 0.
    """
    student, teacher = checked_logits("dist", student_logits, teacher_logits)
    check_positive("dist", "temperature", temperature)
    check_weight("dist", "inter_weight", inter_weight)
    check_weight("dist", "intra_weight", intra_weight)
    p = (student / temperature).softmax(-1)
    q = (teacher / temperature).softmax(-1)
    inter = _unlike(p, q).mean(-1)
    intra = _unlike(p.transpose(-1, -2), q.transpose(-1, -2)).mean(-1)
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


def _unlike(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - the Pearson correlation of the rows [..., N], 0 where the teacher's row is constant."""
    least = rounding(student), rounding(teacher)
    student, teacher = (rows - rows.mean(-1, keepdim=True) for rows in (student, teacher))
    lengths = student.norm(dim=-1), teacher.norm(dim=-1)
    both = torch.maximum(lengths[0], least[0]) * torch.maximum(lengths[1], least[1])
    together = (student * teacher).sum(-1) / both * (lengths[0] > least[0])
    return (1 - together) * (lengths[1] > least[1])
