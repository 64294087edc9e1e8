"""What losses of features ask of their arguments, said in whole sentences."""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.losses.checks import wide


def checked_features(
    name: str, student: Tensor, teacher: Tensor, *, maps: bool = False
) -> tuple[Tensor, Tensor]:
    """Both features [B, ...], those of one module each, in at least float32; the teacher's without
    gradient. With `maps` they are [B, channels, H, W].

    Raises ValueError for other shapes, for features of another number of images or of none, and
    (on a CPU) for features of the teacher that are not finite. Those of a student that diverged are
    let through: its loss is then not finite either.
    """
    least, most = (4, 4) if maps else (2, 99)
    dims = (student.dim(), teacher.dim())
    fits = all(least <= dim <= most for dim in dims) and len(student) == len(teacher)
    if not fits or not student.numel() or not teacher.numel():
        what = "maps [batch, channels, height, width]" if maps else "features [batch, ...]"
        raise ValueError(
            f"{name} needs {what} of the same images; the student's are {list(student.shape)}, "
            f"the teacher's {list(teacher.shape)}."
        )
    teacher = teacher.detach()
    if teacher.device.type == "cpu" and not teacher.isfinite().all():
        count = int((~teacher.isfinite()).sum())
        raise ValueError(
            f"{name} needs finite features of the teacher; {count} of {teacher.numel()} are not."
        )
    return wide(student), wide(teacher)


def uniform(*shape: int, bound: float, generator: torch.Generator | None) -> Tensor:
    """Numbers drawn uniformly from -bound to bound, by `generator` or PyTorch's own."""
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
