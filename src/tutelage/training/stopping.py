"""When a student has been taught enough, told by its own history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.chain import EpochStep


def coming_step(epochs: Sequence[EpochStep], history: Sequence[Mapping[str, Any]]) -> EpochStep:
    """What the epoch after those of `history` does: what `epochs` say, or what they say otherwise
    once a rule has been met. A function of the history alone, so that resuming changes nothing."""
    step = epochs[len(history)]
    if step.otherwise is not None and taught_epochs(epochs, history) is not None:
        return step.otherwise
    return step


def taught_epochs(epochs: Sequence[EpochStep], history: Sequence[Mapping[str, Any]]) -> int | None:
    """After how many epochs a rule was met for the first time; None where none was."""
    rows: list[Mapping[str, Any]] = []
    highest = 0.0
    for done, (step, row) in enumerate(zip(epochs, history, strict=False), start=1):
        highest = max(highest, step.lr)
        if step.rule is None:
            continue
        rows.append(row)
        if _is_met(json.loads(step.rule), rows, highest):
            return done
    return None


def _is_met(rule: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], highest: float) -> bool:
    """Whether the last of the rows, all of which the rule watched, meet it (see AdaptiveConfig)."""
    last = rows[-rule["patience"] :]
    if len(last) < rule["patience"]:
        return False
    if rule["adaptive"] == "gradients":
        return all(row["gradient_cosine"] < rule["threshold"] for row in last)
    rate = last[-1]["lr"]
    if rate >= highest or any(row["lr"] != rate for row in last):
        return False
    errors = np.array([row["val_error"] for row in last])
    places = np.arange(len(last)) - (len(last) - 1) / 2
    slope = float(places @ errors / (places @ places))  # of the line of least squares
    return slope >= rule["threshold"]


def measures_gradients(step: EpochStep) -> bool:
    """Whether a rule asks for the gradients of both losses in this epoch."""
    return step.rule is not None and json.loads(step.rule)["adaptive"] == "gradients"


def gradient_cosine(logits: Tensor, ce: Tensor, taught: Tensor) -> Tensor:
    """The cosine between the gradients of two losses [...], each of logits [..., B, C], with
    respect to those of one image, averaged over the B images: [...], detached.

    An image of which a gradient is zero counts as 0.
    """
    ours, theirs = (
        torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0] for loss in (ce, taught)
    )
    # At the size that they have without the mean over images: tiny ones would count as zero.
    images = logits.shape[-2]
    return F.cosine_similarity(ours * images, theirs * images, dim=-1).mean(-1)
