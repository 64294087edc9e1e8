"""Hinton's knowledge distillation loss (Hinton, Vinyals and Dean 2015, arXiv 1503.02531)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.checks import check_positive, checked_logits


def kd(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """tau^2 * KL(p_T || p_S) in nats, with p = softmax(logits / tau): a scalar, mean over images.

    Both logits are [B, C], raw (before any softmax). With leading dimensions [..., B, C] each index
    of these has a loss of its own, [...]. The factor tau^2 keeps the gradient's size roughly
    independent of the temperature; as tau grows, the loss tends to the mean over images of
    ||z_S - z_T||^2 / (2 C), each row of logits centred. No gradient reaches the teacher. Half
    precision is computed in float32. The original's weights in the field are 0.1 for the
    cross-entropy and 0.9 for this, with tau = 4.

    Raises ValueError for shapes that differ or are not [..., B, C], for logits of the teacher that
    are not finite, and for a temperature that is not finite and above 0.
    """
    student, teacher = checked_logits("kd", student_logits, teacher_logits)
    check_positive("kd", "temperature", temperature)
    return (kl(student / temperature, teacher / temperature) * temperature**2).mean(-1)


def kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) || softmax(student)) in nats of each row [..., C]: [...]."""
    log_q, log_p = F.log_softmax(student, dim=-1), F.log_softmax(teacher, dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
