"""The logits of a network on a split: what every evaluation starts from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tutelage.data.stream import normalise
from tutelage.data.world import Split

EVALUATED = 256
"""Images that are evaluated in one pass."""


def logits_of(
    model: nn.Module,
    split: Split,
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    device: torch.device | str = "cpu",
    batch: int = EVALUATED,
) -> NDArray[np.float32]:
    """The logits [N, C] of `model`, which is on `device`, on the images of `split`, in order.

    The model runs in evaluation mode without gradients, and is left in the modes it came in. Every
    pass has exactly `batch` images, the last one filled up, so an image's logits depend on neither
    its neighbours nor the size of the split. `mean` and `std` are per channel, of pixels / 255.

    Raises ValueError for a split without images.
    """
    total = len(split.images)
    if total == 0:
        raise ValueError("logits_of needs at least one image.")
    parts = []
    with _evaluating(model), torch.inference_mode():
        for start in range(0, total, batch):
            pixels = np.array(split.images[start : start + batch])  # may be read-only on disk
            images = normalise(torch.from_numpy(pixels).to(device), mean, std)
            parts.append(padded_forward(model, images, batch).float().cpu())
    return torch.cat(parts).numpy()


def padded_forward(model: nn.Module, images: Tensor, size: int) -> Tensor:
    """The logits [B, classes] of `images` [B, C, H, W], computed `size` images at a time.

    The last pass is filled up with the first image of its part, so that every pass has one size:
    an image's logits then depend on neither its neighbours nor the batch it came in.
    """
    logits = []
    for part in images.split(size):
        short = size - len(part)
        full = torch.cat((part, part[:1].expand(short, -1, -1, -1))) if short else part
        full = full.contiguous(memory_format=torch.channels_last)
        logits.append(model(full)[: len(part)])
    return torch.cat(logits)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every module is in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
