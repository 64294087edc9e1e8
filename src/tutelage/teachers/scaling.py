"""One factor on a teacher's logits: calibrated, or matched in entropy to another teacher.

Teachers at different stops differ in softness, hence in the size of the distillation gradient, and
not only in what they know. A factor takes the first difference away and leaves the second.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

Logits = NDArray[np.floating]

LEAST, MOST = 1e-3, 1e3  # bounds of a factor; a teacher beyond them is constant or degenerate


def mean_entropy(logits: Logits, temperature: float = 1.0) -> float:
    """Mean entropy in nats of softmax(logits / temperature); logits of shape [N, classes]."""
    log_p = log_softmax(np.asarray(logits, np.float64) / temperature, axis=1)
    return float(-np.mean(np.sum(np.exp(log_p) * log_p, axis=1)))


def calibrated_factor(logits: Logits, labels: NDArray[np.integer]) -> float:
    """The factor of least mean NLL of softmax(factor * logits) (temperature scaling, 1706.04599).

    The NLL is convex in the factor. Logits [N, classes], labels [N] of held-out images.
    """
    from scipy.optimize import minimize_scalar  # a third of a second to load

    z = np.asarray(logits, np.float64)
    rows = np.arange(len(z))

    def nll(log_factor: float) -> float:
        return float(-np.mean(log_softmax(np.exp(log_factor) * z, axis=1)[rows, labels]))

    bounds = (np.log(LEAST), np.log(MOST))
    found = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return _rounded(math.exp(found.x))


def entropy_matched_factor(logits: Logits, target: Logits, temperature: float) -> float:
    """The factor at which both have the same mean entropy at `temperature`.

    `logits` and `target` [N, classes] are of the same images. Entropy falls as the factor grows,
    so there is one solution; where the target's entropy is out of reach the nearest bound is it.
    """
    from scipy.optimize import root_scalar

    z, wanted = np.asarray(logits, np.float64), mean_entropy(target, temperature)

    def excess(log_factor: float) -> float:
        return mean_entropy(np.exp(log_factor) * z, temperature) - wanted

    low, high = np.log(LEAST), np.log(MOST)
    if excess(low) <= 0:
        return LEAST
    if excess(high) >= 0:
        return MOST
    solution = root_scalar(excess, bracket=(low, high), xtol=1e-10)
    return _rounded(math.exp(solution.root))


def _rounded(factor: float) -> float:
    # Six digits are far below what matters, and keep an identity stable against the last bits.
    return float(f"{factor:.6g}")
