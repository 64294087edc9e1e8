"""What every loss asks of its arguments, said in whole sentences."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def checked_logits(name: str, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both logits [..., B, C] in at least float32, the teacher's without gradient.

    Raises ValueError for shapes that differ or have no batch or classes, and for logits of the
    teacher that are not finite. Those of a student that diverged are not refused: its loss is then
    not finite either, which whoever trains it has to see. On a GPU nothing is waited for, and so
    the teacher's are not looked at there.
    """
    if student.shape != teacher.shape or student.dim() < 2:
        counts = ""
        if student.dim() >= 2 and teacher.dim() >= 2 and student.shape[-1] != teacher.shape[-1]:
            counts = f" (so {student.shape[-1]} classes against {teacher.shape[-1]})"
        raise ValueError(
            f"{name} needs the logits of student and teacher in one shape [batch, classes]; the "
            f"student's are {list(student.shape)}, the teacher's {list(teacher.shape)}{counts}."
        )
    if student.shape[-2] == 0 or student.shape[-1] == 0:
        raise ValueError(f"{name} has no mean over an empty batch {list(student.shape)}.")
    teacher = teacher.detach()
    if teacher.device.type == "cpu" and not teacher.isfinite().all():
        count = int((~teacher.isfinite()).sum())
        raise ValueError(
            f"{name} needs finite logits of the teacher; {count} of {teacher.numel()} are not."
        )
    return wide(student), wide(teacher)


def check_labels(name: str, labels: Tensor, student: Tensor) -> None:
    """Raises ValueError unless `labels` are int64 [..., B] for logits [..., B, C], and (on a CPU)
    classes 0 to C - 1."""
    if labels.shape != student.shape[:-1] or labels.dtype != torch.int64:
        raise ValueError(
            f"{name} needs labels int64 {list(student.shape[:-1])} for logits "
            f"{list(student.shape)}; they are {str(labels.dtype).removeprefix('torch.')} "
            f"{list(labels.shape)}."
        )
    classes = student.shape[-1]
    if labels.device.type == "cpu" and not ((labels >= 0) & (labels < classes)).all():
        raise ValueError(
            f"{name} needs labels from 0 to {classes - 1}, for {classes} classes; they go from "
            f"{int(labels.min())} to {int(labels.max())}."
        )


def check_positive(name: str, what: str, value: float) -> None:
    """Raises ValueError for a value that is not finite and above 0."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} needs a finite {what} above 0, not {value}.")


def check_weight(name: str, what: str, value: float) -> None:
    """Raises ValueError for a value that is not finite and at least 0."""
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} needs a finite {what} of at least 0, not {value}.")


def wide(logits: Tensor) -> Tensor:
    """The logits in at least float32."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def rounding(rows: Tensor) -> Tensor:
    """A length [...] for rows [..., N]: shorter, less their mean, they are nothing but rounding."""
    limits = torch.finfo(rows.dtype)
    return rows.detach().norm(dim=-1) * (8 * limits.eps) + limits.tiny**0.5
