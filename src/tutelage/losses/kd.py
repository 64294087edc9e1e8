"""Hinton's knowledge distillation loss (Hinton, Vinyals and Dean 2015, arXiv 1503.02531)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def kd(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """tau^2 * KL(p_T || p_S) in nats, with p = softmax(logits / tau): a scalar, mean over images.

    Both logits are [B, C], raw (before any softmax). The factor tau^2 keeps the gradient's size
    roughly independent of the temperature; as tau grows, the loss tends to the mean over images of
    ||z_S - z_T||^2 / (2 C), each row of logits centred. No gradient reaches the teacher. Half
    precision is computed in float32.

    Raises ValueError for shapes that differ or are not [B, C], and for a temperature that is not
    finite and above 0.
    """
    return kd_by_image(student_logits, teacher_logits, temperature).mean()


def kd_by_image(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """The loss `kd` of each image, [B]: its mean is `kd`. Raises the same errors."""
    if student_logits.shape != teacher_logits.shape or student_logits.dim() != 2:
        raise ValueError(
            "kd needs the logits of student and teacher in one shape [batch, classes]; the "
            f"student's are {list(student_logits.shape)}, the teacher's "
            f"{list(teacher_logits.shape)}."
        )
    if student_logits.shape[0] == 0:
        raise ValueError(f"kd has no mean over an empty batch {list(student_logits.shape)}.")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"kd needs a finite temperature above 0, not {temperature}.")
    log_q = F.log_softmax(_wide(student_logits) / temperature, dim=1)
    log_p = F.log_softmax(_wide(teacher_logits.detach()) / temperature, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1) * temperature**2


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
