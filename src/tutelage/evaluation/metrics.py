"""Error, likelihood and calibration of one network, from its logits. Float64 throughout."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

METRIC_VERSION = 2
"""Raised when a change alters a number of `metrics` or `mimicry`; part of every evaluation's id."""

ECE_BINS = 15


def metrics(logits: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """How well `logits` [N, C] predict `labels` [N] (0..C-1). Plain, finite floats.

    - `error`: share of images whose largest logit is not the label's, percent.
    - `balanced_error`: mean of `class_errors`, percent: every class counts alike.
    - `top5`: share of images whose label is not among the five largest logits, percent; only if
      C > 5. Among equal logits the smaller class counts as larger, here as for `error`.
    - `nll`: mean of -log p(label), nats, with p = softmax(logits).
    - `ece`: expected calibration error of the largest probability over 15 bins of equal width,
      percent (Guo et al. 2017, arXiv 1706.04599).
    - `brier`: squared distance of p from the one-hot label, summed over classes, mean over images
      (Brier 1950), 0 to 2.
    - `entropy`: mean entropy of p, nats.

    Raises ValueError for wrong shapes, labels out of range, no images, and logits not finite.
    """
    z = checked_logits(logits, "logits")
    y = _checked_labels(labels, z)
    images, classes = z.shape
    log_p = log_softmax(z)
    p = np.exp(log_p)
    rows = np.arange(images)
    right = z.argmax(axis=1) == y
    result = {"error": 100.0 * float(np.mean(~right))}
    by_class = [error for error in class_errors(z, y) if error is not None]
    result["balanced_error"] = float(np.mean(by_class))
    if classes > 5:
        result["top5"] = 100.0 * float(np.mean(_rank(z, y) >= 5))
    result["nll"] = float(-np.mean(log_p[rows, y]))
    result["ece"] = 100.0 * _calibration_error(p.max(axis=1), right)
    misses = p.copy()
    misses[rows, y] -= 1.0
    result["brier"] = float(np.mean(np.square(misses).sum(axis=1)))
    result["entropy"] = float(-np.mean((p * log_p).sum(axis=1)))
    return {name: value + 0.0 for name, value in result.items()}  # -0.0 becomes 0.0


def class_errors(logits: ArrayLike, labels: ArrayLike) -> list[float | None]:
    """The error of each class, percent: of its images, the share whose largest logit is another's.

    `logits` [N, C], `labels` [N] (0..C-1). One figure a class, None where it has no images. Raises
    ValueError as `metrics` does.
    """
    z = checked_logits(logits, "logits")
    y = _checked_labels(labels, z)
    classes = z.shape[1]
    images = np.bincount(y, minlength=classes).tolist()
    wrong = np.bincount(y[z.argmax(axis=1) != y], minlength=classes).tolist()
    return [100.0 * w / n if n else None for w, n in zip(wrong, images, strict=True)]


def checked_logits(logits: ArrayLike, what: str) -> NDArray[np.float64]:
    """`logits` as float64 [N, C]. Raises ValueError, naming `what`, for anything else."""
    z = np.asarray(logits, dtype=np.float64)
    if z.ndim != 2 or 0 in z.shape:
        raise ValueError(f"{what} must be [images, classes], not {list(z.shape)} or empty.")
    if not np.isfinite(z).all():
        raise ValueError(f"{what} must be finite; a diverged network has no metrics.")
    return z


def log_softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of softmax over the last axis; finite for finite logits."""
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _checked_labels(labels: ArrayLike, z: NDArray[np.float64]) -> NDArray[np.int64]:
    y = np.asarray(labels)
    if y.shape != z.shape[:1] or y.dtype.kind not in "iu":
        found = f"logits are {list(z.shape)}, labels {list(y.shape)} of {y.dtype}"
        raise ValueError(f"labels must be whole numbers, one an image; {found}.")
    if y.min() < 0 or y.max() >= z.shape[1]:
        raise ValueError(f"labels must lie in 0..{z.shape[1] - 1}; found {y.min()}..{y.max()}.")
    return y.astype(np.int64, copy=False)


def _rank(z: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes come before the label, equal logits in the order of their class."""
    own = np.take_along_axis(z, y[:, None], axis=1)
    earlier = np.arange(z.shape[1]) < y[:, None]
    return ((z > own) | ((z == own) & earlier)).sum(axis=1)


def _calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(right))
