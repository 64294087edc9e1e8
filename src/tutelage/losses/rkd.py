"""Relational knowledge distillation (Park, Kim, Lu and Cho 2019, arXiv 1904.05068)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.checks import check_weight
from tutelage.losses.feature_checks import checked_features


def rkd(
    student: Tensor, teacher: Tensor, distance_weight: float = 25.0, angle_weight: float = 50.0
) -> Tensor:
    """distance_weight * D + angle_weight * A: a scalar (equations 5 to 9).

    D compares the distances of each two images, in units of their mean over all pairs of different
    images; A the cosines of the angle at image i between the images j and k. Both are means of
    Huber's loss, x^2 / 2 up to |x| = 1 and |x| - 1/2 beyond, over all B^2 pairs and B^3 triplets of
    the batch, those of an image with itself, which add nothing, included as in the original's code.
    Embeddings are [B, ...], flattened; both networks' may differ in every size but B; shifts,
    rotations and factors change nothing. No gradient reaches the teacher; half precision is
    computed in float32. The weights 25 and 50 are the original's for classification, with 1 for
    this loss and for the cross-entropy.

    Two images in one place have distance 0, no direction, and no gradient from each other: the
    original's code, which clamps squared distances and lengths at a tiny number, has gradients of
    about its inverse there. It also leaves such pairs out of the mean distance; here they count.

    Raises ValueError for embeddings that are not [B, ...] or not of the same images, for those of
    the teacher that are not finite (on a CPU), and for weights that are not finite and at least 0.
    """
    student, teacher = checked_features("rkd", student, teacher)
    check_weight("rkd", "distance_weight", distance_weight)
    check_weight("rkd", "angle_weight", angle_weight)
    ours, theirs = _relations(student), _relations(teacher)
    weights = (distance_weight, angle_weight)
    parts = [F.smooth_l1_loss(*pair) for pair in zip(ours, theirs, strict=True)]
    return sum(
        (weight * part for weight, part in zip(weights, parts, strict=True)), ours[0].new_zeros(())
    )


def _relations(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Distances [B, B] in units of their mean, and cosines [B, B, B] of the angles at the first."""
    rows = embeddings.flatten(1)
    between = rows[None] - rows[:, None]  # from the first image to the second
    squares = between.square().sum(2)
    apart = squares != 0  # true also where they are no number, so that this is seen
    distances = torch.where(apart, squares, 1.0).sqrt() * apart
    directions = between / torch.where(apart, distances, 1.0)[:, :, None]
    mean = distances.sum() / max(1, len(rows) * (len(rows) - 1))
    relative = distances / torch.where(mean != 0, mean, 1.0)
    return relative, directions @ directions.transpose(1, 2)
