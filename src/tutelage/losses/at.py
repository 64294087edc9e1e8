"""Attention transfer (Zagoruyko and Komodakis 2017, arXiv 1612.03928)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def at(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
    """The sum over pairs of maps of the mean of (Q(A_S) - Q(A_T))^2: a scalar (equation 2).

    Q(A) is the mean over channels of A^2, flattened to [H W] and of length 1, for each image; the
    mean is over images and positions, as in the original's code. Maps are [B, channels, H, W], the
    outputs of some modules of student and teacher, in pairs, which may differ in channels. Where
    they differ in size both are averaged to the smaller height and width. No gradient reaches the
    teacher; half precision is computed in float32. The original's weights: 1000 for this loss, 1
    for the cross-entropy, maps from the ends of the stages.

    Raises ValueError for no maps, another number of them, maps that are not [B, channels, H, W] or
    not of the same images, and maps of the teacher that are not finite (on a CPU).
    """
    if len(student_maps) != len(teacher_maps) or not student_maps:
        raise ValueError(
            "at needs as many maps of the student as of the teacher; there are "
            f"{len(student_maps)} and {len(teacher_maps)}."
        )
    pairs = zip(student_maps, teacher_maps, strict=True)
    return torch.stack([_distance(student, teacher.detach()) for student, teacher in pairs]).sum()


def attention(maps: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Q(A) of maps [B, channels, H, W]: [B, H W], each row of length 1, in at least float32. The
    squares are first averaged over channels, then to `size` (height and width) if it is given."""
    squares = maps.to(torch.promote_types(maps.dtype, torch.float32)).square().mean(1, keepdim=True)
    if size is not None and squares.shape[2:] != size:
        squares = F.adaptive_avg_pool2d(squares, size)
    return F.normalize(squares.flatten(1), dim=1)


def _distance(student: Tensor, teacher: Tensor) -> Tensor:
    if student.dim() != 4 or teacher.dim() != 4 or len(student) != len(teacher) or not len(student):
        raise ValueError(
            "at needs maps [batch, channels, height, width] of the same images; the student's are "
            f"{list(student.shape)}, the teacher's {list(teacher.shape)}."
        )
    if teacher.device.type == "cpu" and not teacher.isfinite().all():
        raise ValueError("at needs finite maps of the teacher.")
    size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
    return (attention(student, size) - attention(teacher, size)).square().mean()
