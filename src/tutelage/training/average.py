"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """A copy of `model` that follows it: average <- d * average + (1 - d) * weights at each step
    (Polyak and Juditsky 1992; exponential weights).

    In the first steps the decay is smaller, d = min(decay, (1 + t) / (10 + t)) at step t = 1, 2,
    ..., so that the initial weights are soon forgotten. BatchNorm's running statistics are averaged
    too; counters are copied. The copy is always in evaluation mode.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay, self._source = copy.deepcopy(model).eval(), decay, model
        self.model.requires_grad_(False)
        ours, theirs = self.model.state_dict(), model.state_dict()
        floats = [name for name, value in theirs.items() if value.is_floating_point()]
        self._ours, self._theirs = [ours[n] for n in floats], [theirs[n] for n in floats]
        self._counters = [(ours[name], theirs[name]) for name in theirs if name not in set(floats)]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after step number `step`, counted from 1 over the whole training."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._ours, self._theirs, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for ours, theirs in self._counters:
            ours.copy_(theirs)
