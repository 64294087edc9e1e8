"""Decoupled knowledge distillation (Zhao et al. 2022, arXiv 2203.08679)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.checks import check_labels, check_positive, check_weight, checked_logits


def dkd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 8.0,
) -> Tensor:
    """Hinton's loss taken apart, and its parts weighted: a scalar, mean over images.

        target_weight * tau^2 * KL(b_T || b_S)  +  non_target_weight * tau^2 * KL(n_T || n_S)

    where b = (p_y, 1 - p_y) is what p = softmax(z / tau) says of the label y against all others,
    and n the softmax of z / tau over the classes other than y (equation 7). With weights 1 and
    1 - p_T,y of each image it would be `kd`. Both logits are [B, C], raw, and `labels` int64 [B];
    with leading dimensions [..., B, C] each index of these has a loss of its own, [...]. The
    original's weights: 1 for this loss, which rises linearly over the first 20 epochs of 240, and 1
    for the cross-entropy; `non_target_weight` is chosen for each pair of networks.

    Raises ValueError for shapes that differ or are not [..., B, C] with at least two classes, other
    labels, logits of the teacher that are not finite, a temperature that is not finite and above
    0, and weights below 0.
    """
    student, teacher = checked_logits("dkd", student_logits, teacher_logits)
    check_labels("dkd", labels, student)
    check_positive("dkd", "temperature", temperature)
    check_weight("dkd", "target_weight", target_weight)
    check_weight("dkd", "non_target_weight", non_target_weight)
    if student.shape[-1] < 2:
        raise ValueError("dkd needs at least two classes: there is no other than the label's.")
    is_target = torch.zeros_like(student, dtype=torch.bool).scatter_(-1, labels[..., None], True)
    (s_binary, s_others), (t_binary, t_others) = (
        _parts(logits / temperature, is_target) for logits in (student, teacher)
    )
    target = (t_binary.exp() * (t_binary - s_binary)).sum(-1)
    non_target = (t_others.exp() * (t_others - s_others)).masked_fill(is_target, 0.0).sum(-1)
    both = target_weight * target + non_target_weight * non_target
    return temperature**2 * both.mean(-1)


def _parts(z: Tensor, is_target: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of b [..., 2] and of n [..., C], which is 0 at the label; all are finite, however
    large the logits."""
    others = z.masked_fill(is_target, -torch.inf)
    whole, rest = z.logsumexp(-1), others.logsumexp(-1)
    own = z.masked_fill(~is_target, 0.0).sum(-1)
    binary = torch.stack((own - whole, rest - whole), dim=-1)
    return binary, F.log_softmax(others, dim=-1).masked_fill(is_target, 0.0)
