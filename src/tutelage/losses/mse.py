"""The squared distance of logits (Kim et al. 2021, arXiv 2105.08919)."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.checks import check_positive, checked_logits


def mse(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """The mean over images of ||z_S - z_T||^2, summed over classes: a scalar.

    Both logits are [B, C], raw; with leading dimensions [..., B, C] each index of these has a loss
    of its own, [...]. Up to the factor 1 / (2 C), and but for the mean of each row, it is what
    tau^2 * KL tends to as tau grows. Its authors use it without any cross-entropy.

    Raises ValueError for shapes that differ or are not [..., B, C], and for logits of the teacher
    that are not finite.
    """
    student, teacher = checked_logits("mse", student_logits, teacher_logits)
    return _distance(student, teacher)


def annealing(student_logits: Tensor, teacher_logits: Tensor, factor: float) -> Tensor:
    """Annealing-KD's loss (Jafari et al. 2021, arXiv 2104.07163): `mse` with phi * z_T in place of
    the teacher's logits z_T: a scalar.

    `factor` is phi, above 0 and at most 1: it rises to 1 in steps while the student distils
    (`annealing_factors`), after which the labels alone train it.

    Raises ValueError as `mse` does, and for a factor outside of (0, 1].
    """
    check_positive("annealing", "factor", factor)
    if factor > 1:
        raise ValueError(f"annealing needs a factor of at most 1, not {factor}.")
    student, teacher = checked_logits("annealing", student_logits, teacher_logits)
    return _distance(student, teacher * factor)


def _distance(student: Tensor, teacher: Tensor) -> Tensor:
    return (student - teacher).square().sum(-1).mean(-1)
