"""Hints of FitNets (Romero et al. 2015, arXiv 1412.6550)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.losses.feature_checks import checked_features, uniform


class FitNets(nn.Module):
    """The mean of (r(S) - T)^2 over images, channels and positions: a scalar (equation 3).

    T are the hints, maps [B, teacher_channels, H, W] of a module of the teacher, and S the guided
    maps [B, student_channels, H, W] of the student; r, the regressor, is a 1x1 convolution, each of
    whose channels is standardised over the batch, scaled and shifted (BatchNorm, always with the
    batch's own figures). It is trained together with the student and thrown away with this module.
    Where the maps differ in size both are averaged to the smaller height and width. No gradient
    reaches the teacher; half precision is computed in float32.

    What the original does: half the squared distance, summed, of a regressor whose kernel makes the
    sizes equal, in a first stage of its own, which trains the student up to the guided layer; then
    KD alone. Here, as in the code of Tian et al. (arXiv 1910.10699), one stage trains everything,
    at a weight of 100 beside 1 for the cross-entropy, with maps from the end of the middle stage.
    Their regressor has the BatchNorm as well, without which that weight diverges at the usual
    learning rates, and a ReLU behind it, which cannot reach hints below 0 and is left out.

    The weights are drawn by `generator`, or PyTorch's own: uniform within 1 / sqrt(inputs); scale 1
    and bias 0.
    Calls raise ValueError for maps of other shapes or channels, and (on a CPU) for hints that are
    not finite.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        bound = student_channels**-0.5
        weight = uniform(teacher_channels, student_channels, bound=bound, generator=generator)
        self.weight = nn.Parameter(weight)
        self.scale = nn.Parameter(torch.ones(teacher_channels))
        self.bias = nn.Parameter(torch.zeros(teacher_channels))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of guided maps and hints."""
        student, teacher = checked_features("fitnets", student, teacher, maps=True)
        theirs, ours = self.weight.shape
        if (student.shape[1], teacher.shape[1]) != (ours, theirs):
            raise ValueError(
                f"this regressor leads from {ours} to {theirs} channels; the student's maps are "
                f"{list(student.shape)}, the teacher's {list(teacher.shape)}."
            )
        size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
        weight = self.weight.to(student.dtype)[:, :, None, None]
        regressed = _standardised(F.conv2d(_pooled(student, size), weight))
        scale, bias = (each.to(student.dtype)[:, None, None] for each in (self.scale, self.bias))
        regressed = scale * regressed + bias
        return (regressed - _pooled(teacher, size)).square().mean()


def _standardised(maps: Tensor) -> Tensor:
    """Each channel with mean 0 and variance 1 over images and positions (BatchNorm, whose running
    figures nobody would ever read)."""
    variance, mean = torch.var_mean(maps, (0, 2, 3), correction=0, keepdim=True)
    return (maps - mean) * torch.rsqrt(variance + 1e-5)


def _pooled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[2:] == size else F.adaptive_avg_pool2d(maps, size)
