"""Logit standardisation (Sun et al. 2024, arXiv 2403.01427), for any loss of logits."""

from __future__ import annotations

from torch import Tensor

_EPSILON = 1e-7  # of the original


def standardise(logits: Tensor) -> Tensor:
    """(z - mean) / (standard deviation + 1e-7) of each row, over the classes (algorithm 1).

    Logits are [..., C] with C of at least 2, and so is the result. The standard deviation is the
    unbiased one, as in the original. A student then need not match its teacher's scale and shift,
    but for one that both share: use it on the logits of both, before `kd` with tau = 2 and weight 9
    (the cross-entropy's is 0.1), or before any other loss of logits.

    Raises ValueError for fewer than two classes.
    """
    if logits.dim() == 0 or logits.shape[-1] < 2:
        raise ValueError(
            "standardise needs at least two classes; the logits are "
            f"{list(logits.shape)}: one number has no spread."
        )
    centred = logits - logits.mean(-1, keepdim=True)
    return centred / (logits.std(-1, keepdim=True) + _EPSILON)
