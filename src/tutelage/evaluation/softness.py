"""How soft a teacher's answers are, and how far they tell wrong classes apart. Float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tutelage.evaluation.metrics import checked_logits, log_softmax


def softness(logits: ArrayLike, labels: ArrayLike, temperature: float) -> dict[str, float]:
    """What `logits` [N, C], with `labels` [N] (0..C-1), are as targets at a temperature. Floats.

    With p = softmax(logits / temperature), means over images:

    - `entropy`: of p, nats.
    - `variance`: of the probabilities of the C - 1 wrong classes of an image, the mean square of
      their distances from their mean (Li et al. 2022, arXiv 2210.04427); 0 for C = 2.

    Raises ValueError for logits that are not [N, C] or not finite, labels of another shape or out
    of range, C < 2, and a temperature that is not positive.
    """
    z = checked_logits(logits, "logits")
    y = np.asarray(labels)
    images, classes = z.shape
    if classes < 2 or not temperature > 0.0:
        raise ValueError(f"no softness at temperature {temperature} with {classes} classes")
    if y.shape != (images,) or y.min() < 0 or y.max() >= classes:
        raise ValueError(f"labels must be [{images}] in 0..{classes - 1}")
    log_p = log_softmax(z / temperature)
    p = np.exp(log_p)
    wrong = p[np.arange(classes) != y[:, None]].reshape(images, classes - 1)
    return {
        "entropy": float(-(p * log_p).sum(axis=1).mean()) + 0.0,
        "variance": float(wrong.var(axis=1).mean()),
    }
