"""A network from elsewhere as tutelage wants it: images in as it likes them, logits out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tutelage.errors import UserError


class Adapted(nn.Module):
    """`network` behind one face: images [B, C, H, W], normalised by the study, become logits
    [B, classes], whatever kind of output the network has (see `logits_in`).

    With `mean` and `std` (of pixels from 0 to 1, one number for each of its channels) the study's
    normalisation, of which `follow` tells, is undone and the network's own applied. Images of one
    channel are repeated into `channels`, and resized to `size` (height, width), bilinearly and with
    antialiasing. `outputs` are the places, in the network's logits, of the study's classes.

    Its state is the network's alone: `inner` gives the module that has it.
    """

    network: nn.Module
    _scale: Tensor
    _shift: Tensor
    _outputs: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        channels: int | None = None,
        size: tuple[int, int] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        outputs: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.network, self._size, self._channels = network, size, channels
        self._own = (np.array(mean), np.array(std)) if mean and std else None
        for name in ("_scale", "_shift"):
            self.register_buffer(name, None, persistent=False)
        chosen = torch.tensor(outputs) if outputs is not None else None
        self.register_buffer("_outputs", chosen, persistent=False)

    def follow(self, mean: np.ndarray, std: np.ndarray) -> None:
        """The study's images are normalised by `mean` and `std`, one number a channel."""
        if self._own is None:
            return
        # x * std + mean are the pixels; (pixels - own mean) / own std is what is wanted.
        scale, shift = std / self._own[1], (mean - self._own[0]) / self._own[1]
        device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        self._scale, self._shift = (
            torch.tensor(value, dtype=torch.float32, device=device).view(1, -1, 1, 1)
            for value in (scale, shift)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes]."""
        if self._channels is not None:
            images = images.expand(-1, self._channels, -1, -1)
        if self._scale is not None:
            images = images * self._scale + self._shift
        if self._size is not None:
            images = F.interpolate(images, self._size, mode="bilinear", antialias=True)
        logits = logits_in(self.network(images))
        return logits if self._outputs is None else logits[:, self._outputs]


def inner(model: nn.Module) -> nn.Module:
    """The network itself, whose names and weights are those that its author gave."""
    return model.network if isinstance(model, Adapted) else model


def follow(model: nn.Module, mean: np.ndarray, std: np.ndarray) -> None:
    """Tells a network with a normalisation of its own by what the study's images are normalised."""
    if isinstance(model, Adapted):
        model.follow(mean, std)


def logits_in(output: Any) -> Tensor:
    """The logits in what a network gave: the tensor itself; of a mapping (a ModelOutput is one) or
    an object what is called `logits`, or else its only tensor; of a tuple or list what is called
    `logits`, or else what comes first. Raises UserError where there are none."""
    if isinstance(output, Tensor | fx.Proxy):
        return output  # pyright: ignore[reportReturnType]  # a proxy stands for a tensor
    if isinstance(output, Mapping):
        tensors = [value for value in output.values() if isinstance(value, Tensor | fx.Proxy)]
        found = output.get("logits", tensors[0] if len(tensors) == 1 else None)
        said = f"a mapping of {', '.join(map(str, output))}"
    else:
        found = getattr(output, "logits", None)
        if found is None and isinstance(output, tuple | list) and output:
            found = output[0]
        said = f"a {type(output).__name__}"
    if not isinstance(found, Tensor | fx.Proxy):
        raise UserError(
            f"the network gives {said}, in which no logits are found.",
            fix="Return a tensor, or name the logits `logits`.",
        )
    return found  # pyright: ignore[reportReturnType]
