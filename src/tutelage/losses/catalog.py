"""The losses of logits by the names that studies use."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from tutelage.losses.checks import checked_logits
from tutelage.losses.dist import dist
from tutelage.losses.dkd import dkd
from tutelage.losses.kd import kd
from tutelage.losses.mse import annealing, mse
from tutelage.losses.own import own_loss
from tutelage.losses.standardise import standardise

LogitLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(student logits [..., B, C], teacher logits likewise, labels int64 [..., B]) -> loss [...]."""

LOSSES: dict[str, Callable[..., Tensor]] = {
    "kd": kd,
    "mse": mse,
    "dist": dist,
    "dkd": dkd,
    "annealing": annealing,
}
_WITH_LABELS = ("dkd",)


def logit_loss(form: str) -> LogitLoss:
    """The loss that a canonical form names, such as `{"kd":{"temperature":4}}`.

    With `"standardise":true` beside the name, both logits are standardised before. The name `own`
    is a function of the user's own; raises UserError as `own_loss` does.
    """
    parts: dict[str, Any] = json.loads(form)
    standardised = parts.pop("standardise", False)
    ((name, options),) = parts.items()
    if name == "own":
        own = own_loss(**options)
        return partial(_standardised, own) if standardised else own
    bare = partial(_labelled if name in _WITH_LABELS else _unlabelled, LOSSES[name], options)
    return partial(_standardised, bare) if standardised else bare


def _labelled(
    loss: Callable[..., Tensor], options: dict[str, Any], student: Tensor, teacher: Tensor,
    labels: Tensor,
) -> Tensor:  # fmt: skip
    return loss(student, teacher, labels, **options)


def _unlabelled(
    loss: Callable[..., Tensor], options: dict[str, Any], student: Tensor, teacher: Tensor,
    labels: Tensor,
) -> Tensor:  # fmt: skip
    return loss(student, teacher, **options)


def _standardised(loss: LogitLoss, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    student, teacher = checked_logits("standardise", student, teacher)  # names both shapes
    return loss(standardise(student), standardise(teacher), labels)
