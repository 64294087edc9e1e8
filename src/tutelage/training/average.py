"""Averages of a network's weights over its training: exponential, or equal from some step on."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn


class WeightAverage:
    """A copy of `model` that follows it: average <- d * average + (1 - d) * weights at each step
    (Polyak and Juditsky 1992; exponential weights).

    In the first steps the decay is smaller, d = min(decay, (1 + t) / (10 + t)) at step t = 1, 2,
    ..., so that the initial weights are soon forgotten. BatchNorm's running statistics are averaged
    too; counters are copied. The copy is always in evaluation mode.

    With `since` all weights after that step count alike (SWA: Izmailov et al. 2018, arXiv
    1803.05407, who take one state an epoch in), and before it the copy is the network itself.
    BatchNorm's statistics are then those of `settle`.
    """

    def __init__(self, model: nn.Module, decay: float, since: int | None = None) -> None:
        self.model, self.decay, self.since = copy.deepcopy(model).eval(), decay, since
        self.model.requires_grad_(False)
        ours, theirs = self.model.state_dict(), model.state_dict()
        floats = [name for name, value in theirs.items() if value.is_floating_point()]
        self._ours, self._theirs = [ours[n] for n in floats], [theirs[n] for n in floats]
        self._counters = [(ours[name], theirs[name]) for name in theirs if name not in set(floats)]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after step number `step`, counted from 1 over the whole training."""
        if self.since is None:
            decay = min(self.decay, (1 + step) / (10 + step))
        else:
            decay = 1 - 1 / max(1, step - self.since)
        torch._foreach_lerp_(self._ours, self._theirs, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for ours, theirs in self._counters:
            ours.copy_(theirs)

    def settle(self, step: int, batches: Iterable[Tensor]) -> None:
        """Measures BatchNorm's statistics of equally averaged weights after `step`, on images
        [B, C, H, W]: the mean of those of the networks is not that of the mean network."""
        if self.since is not None and step > self.since:
            update_bn(batches, self.model)
