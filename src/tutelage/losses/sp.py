"""Similarity-preserving distillation (Tung and Mori 2019, arXiv 1907.09682)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from tutelage.losses.feature_checks import checked_features


def sp(student: Tensor, teacher: Tensor) -> Tensor:
    """||G_S - G_T||^2 / B^2: a scalar (equation 4, for one pair of modules).

    G is F F^T with rows of length 1, where F [B, ...] are the features of the B images, flattened:
    how alike each two images of the batch are to a network. So the features of both may differ in
    every size but B, and a rotation or a factor of them changes nothing. No gradient reaches the
    teacher; half precision is computed in float32. The original's weights: 3000 for this loss, 1
    for the cross-entropy, features from the end of the last stage.

    Raises ValueError for features that are not [B, ...] or not of the same images, and for those of
    the teacher that are not finite (on a CPU).
    """
    student, teacher = checked_features("sp", student, teacher)
    return (_similarities(student) - _similarities(teacher)).square().mean()


def _similarities(features: Tensor) -> Tensor:
    """G [B, B]; a row of zeros for an image whose features are zero."""
    rows = features.flatten(1)
    return F.normalize(rows @ rows.T, dim=1)
