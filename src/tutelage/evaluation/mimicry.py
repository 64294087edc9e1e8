"""How well a student mimics its teacher: agreement, and KL split into scale and shape."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tutelage.evaluation.metrics import checked_logits

TEMPERATURES = (1, 4)

FACTOR_BOUNDS = (1e-3, 1e3)
"""Where the factor is sought: the best may be 0 (a student that is no better than uniform) or
unbounded (one that is right wherever its teacher is certain)."""

_TOLERANCE = 1e-14  # nats by which the shape part may exceed the true minimum, but for rounding
_MAX_STEPS = 100

Table = NDArray[np.float64]


def mimicry(student: ArrayLike, teacher: ArrayLike) -> dict[str, float]:
    """How closely `student` logits [N, C] follow `teacher` logits [N, C]. Plain, finite floats.

    - `agreement`: share of images with the same largest logit (the smaller class of equals),
      percent.

    and at temperatures T of 1 and 4, with p = softmax(logits / T), means over images, in nats:

    - `kl_tT`: KL(p_teacher || p_student), without the factor T^2 of the loss.
    - `kl_shape_tT`: the least KL that one factor s on all logits of the student can reach,
      s in [0.001, 1000]: what is left when both are equally confident.
    - `kl_scale_tT` = kl - kl_shape, never below 0: what confidence alone explains.
    - `factor_tT`: that s. Above 1, the student is less confident than the teacher asks. A bound
      when the best factor lies beyond it; 1 when a student's logits are constant; where the KL is
      flat to rounding, one of the equally good factors.

    Raises ValueError for shapes that differ or are not [N, C], no images, and logits not finite.
    """
    z_student = checked_logits(student, "the student's logits")
    z_teacher = checked_logits(teacher, "the teacher's logits")
    if z_student.shape != z_teacher.shape:
        raise ValueError(
            "mimicry compares the same images and classes; the student's logits are "
            f"{list(z_student.shape)}, the teacher's {list(z_teacher.shape)}."
        )
    same = z_student.argmax(axis=1) == z_teacher.argmax(axis=1)
    result = {"agreement": 100.0 * float(np.mean(same))}
    for temperature in TEMPERATURES:
        u, t = _below_top(z_student, temperature), _below_top(z_teacher, temperature)
        log_p = t - np.log(np.exp(t).sum(axis=0))
        p = np.exp(log_p)
        kl = _kl(p, log_p, u)
        factor = _best_factor(p, u)
        shape = min(kl, _kl(p, log_p, factor * u))
        result |= {
            f"kl_t{temperature}": kl,
            f"kl_shape_t{temperature}": shape,
            f"kl_scale_t{temperature}": kl - shape,
            f"factor_t{temperature}": factor,
        }
    return result


def _below_top(logits: Table, temperature: float) -> Table:
    """Logits over the temperature as [C, N] (classes first is faster), each image's largest 0."""
    z = np.ascontiguousarray(logits.T) / temperature
    return z - z.max(axis=0)


def _kl(p: Table, log_p: Table, u: Table) -> float:
    """Mean KL of softmax(u) from p, both [C, N]. Rounding below 0 is cut off."""
    log_q = u - np.log(np.exp(u).sum(axis=0))
    return max(0.0, float(np.einsum("cn,cn->", p, log_p - log_q)) / u.shape[1])


def _best_factor(p: Table, u: Table) -> float:
    """The s in FACTOR_BOUNDS with the least KL of softmax(s u) from p.

    The KL is convex in s, so its slope has one root: Newton's method, and a bisection of the
    bracket (in the logarithm) where a step leaves it or steps do not shrink by half.
    """
    wanted = float(np.einsum("cn,cn->", p, u)) / u.shape[1]
    factor = 1.0
    slope, curvature = _derivatives(factor, u, wanted)
    if slope == 0:
        return factor
    bound = FACTOR_BOUNDS[0] if slope > 0 else FACTOR_BOUNDS[1]
    if _derivatives(bound, u, wanted)[0] * slope >= 0:
        return bound
    low, high = sorted((bound, factor))
    last = math.inf
    for _ in range(_MAX_STEPS):
        step = -slope / curvature if curvature > 0 else math.inf
        # By convexity, going on gains at most slope x what is left of the bracket.
        if abs(step) <= 1e-11 * factor or abs(slope) * (high - low) <= _TOLERANCE:
            break
        if not (low < factor + step < high and abs(step) <= last / 2):
            step = math.sqrt(low * high) - factor
        factor, last = factor + step, abs(step)
        slope, curvature = _derivatives(factor, u, wanted)
        low, high = (low, factor) if slope > 0 else (factor, high)
    return factor


def _derivatives(s: float, u: Table, wanted: float) -> tuple[float, float]:
    """First and second derivative in s of the mean KL: E_q[u] - E_p[u] and Var_q[u]."""
    q = np.exp(s * u)
    total = q.sum(axis=0)
    q *= u
    mean = q.sum(axis=0) / total
    square = np.einsum("cn,cn->n", q, u) / total
    return float(mean.mean()) - wanted, float((square - mean * mean).mean())
