"""The losses of logits a second time: from the papers' formulas, image by image, class by class.

Slow on purpose, and nothing is shared with what it judges. Everything is float64: logits are arrays
[B, C], labels a list of B numbers, values plain numbers; `slope` gives gradients by differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import rel_entr

STEP = 2e-4


def probabilities(row, temperature: float) -> list[float]:
    """softmax(z / tau) of one image."""
    top = max(row)
    weights = [math.exp((z - top) / temperature) for z in row]
    return [weight / math.fsum(weights) for weight in weights]


def relative_entropy(p, q) -> float:
    """KL(p || q) in nats of two lists of probabilities."""
    return math.fsum(float(rel_entr(a, b)) for a, b in zip(p, q, strict=True))


def kd(student, teacher, temperature: float) -> float:
    """Hinton et al. 2015, with the factor tau^2 of its section 2."""
    found = [
        relative_entropy(probabilities(t, temperature), probabilities(s, temperature))
        for s, t in zip(student, teacher, strict=True)
    ]
    return temperature**2 * math.fsum(found) / len(found)


def mse(student, teacher) -> float:
    """Kim et al. 2021: squares summed over the classes, their mean over the images."""
    squares = [
        (s - t) ** 2
        for row_s, row_t in zip(student, teacher, strict=True)
        for s, t in zip(row_s, row_t, strict=True)
    ]
    return math.fsum(squares) / len(student)


def annealing(student, teacher, factor: float) -> float:
    """Jafari et al. 2021, first phase: the teacher's logits times phi."""
    return mse(student, [[factor * z for z in row] for row in teacher])


def pearson_distance(student, teacher) -> float:
    """1 - r of two vectors; 0 where the teacher's is constant, and 1 where only the student's is"""
    if np.ptp(teacher) == 0:
        return 0.0
    if np.ptp(student) == 0:
        return 1.0
    return 1.0 - float(np.corrcoef(student, teacher)[0, 1])


def dist(student, teacher, temperature: float, inter_weight: float, intra_weight: float) -> float:
    """Huang et al. 2022, equations 7 to 9, with the factor tau^2 of their section 4."""
    p = np.array([probabilities(row, temperature) for row in student])
    q = np.array([probabilities(row, temperature) for row in teacher])
    images, classes = p.shape
    inter = math.fsum(pearson_distance(p[b], q[b]) for b in range(images)) / images
    intra = math.fsum(pearson_distance(p[:, c], q[:, c]) for c in range(classes)) / classes
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


def dkd(
    student, teacher, labels, temperature: float, target_weight: float, non_target_weight: float
) -> float:
    """Zhao et al. 2022, equation 7: the label against the rest, and the rest by itself."""
    total = 0.0
    for row_s, row_t, label in zip(student, teacher, labels, strict=True):
        binary, others = [], []
        for row in (row_t, row_s):
            p = probabilities(row, temperature)
            # A sum of the others, as 1 - p would lose all digits where p is nearly 1.
            binary.append((p[label], math.fsum(p[:label] + p[label + 1 :])))
            others.append(probabilities(np.delete(row, label), temperature))
        total += target_weight * relative_entropy(*binary)
        total += non_target_weight * relative_entropy(*others)
    return temperature**2 * total / len(student)


def standardise(logits) -> np.ndarray:
    """Sun et al. 2024, algorithm 1, with the unbiased deviation of their code."""
    rows = []
    for row in logits:
        mean = math.fsum(row) / len(row)
        spread = math.sqrt(math.fsum((z - mean) ** 2 for z in row) / (len(row) - 1))
        rows.append([(z - mean) / (spread + 1e-7) for z in row])
    return np.array(rows)


def slope(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    """The gradient of `function` at an array, by five-point central differences.

    Its error is of the order of STEP^4 in units of the fifth derivative, so `function` should
    change over distances of about 1.
    """
    result = np.empty_like(at)
    for index in np.ndindex(at.shape):
        moved = []
        for steps in (-2, -1, 1, 2):
            there = at.copy()
            there[index] += steps * STEP
            moved.append(function(there))
        result[index] = (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * STEP)
    return result
