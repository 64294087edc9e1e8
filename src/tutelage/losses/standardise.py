"""Logit standardisation (Sun et al. 2024, arXiv 2403.01427), for any loss of logits."""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.losses.checks import rounding, wide

_EPSILON = 1e-7  # of the original


def standardise(logits: Tensor) -> Tensor:
    """(z - mean) / (standard deviation + 1e-7) of each row, over the classes (algorithm 1).

    Logits are [..., C] with C of at least 2, and so is the result. The standard deviation is the
    unbiased one, as in the original. A student then need not match its teacher's scale and shift,
    but for one that both share: use it on the logits of both, before `kd` with tau = 2 and weight 9
    (the cross-entropy's is 0.1), or before any other loss of logits.

    Half precision is computed in float32. A row of equal numbers, as a head of zeros gives, becomes
    zeros without a gradient: the formula's would be ten million times that of the loss.

    Raises ValueError for fewer than two classes.
    """
    if logits.dim() == 0 or logits.shape[-1] < 2:
        raise ValueError(
            "standardise needs at least two classes; the logits are "
            f"{list(logits.shape)}: one number has no spread."
        )
    logits = wide(logits)
    centred = logits - logits.mean(-1, keepdim=True)
    # Not `std`: a norm has the same bits whatever is beside the row, and no NaN for its gradient.
    length = centred.norm(dim=-1, keepdim=True)
    constant = length <= rounding(logits)[..., None]  # of NaN: no
    spread = length / (logits.shape[-1] - 1) ** 0.5
    return torch.where(constant, 0.0, centred / (spread + _EPSILON))
