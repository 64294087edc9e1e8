"""Random resized crops: what networks for photos of every shape are trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tutelage.data.image_files import Box, Crop, ImageFiles

NAMES = ("random-resized-crop", "random-resized-crop-flip")
_AREA, _RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
_TRIES = 10


@dataclass(frozen=True)
class CropViews:
    """A box of 8 to 100 % of the image's area, 3:4 to 4:3 in shape, brought to the image's size;
    with `flip`, mirrored half the time. View v is the crop that is drawn from the seed v: there
    are too many to count. (Szegedy et al., "Going deeper with convolutions", 2015, section 6.)
    """

    flip: bool

    count = None

    @property
    def name(self) -> str:
        """The name in its one form."""
        return NAMES[self.flip]

    def check(self, shape: tuple[int, int, int]) -> None:
        """Images of every shape will do."""

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        """`n` views, int64 [n]."""
        return rng.integers(2**62, size=n)

    def apply(self, pixels: Tensor, view: Tensor) -> Tensor:
        """The view `view[b]` of image b: uint8 [B, H, W, C] of the same, made on the CPU."""
        made = [
            self._one(image, seed)
            for image, seed in zip(pixels.cpu().numpy(), view.tolist(), strict=True)
        ]
        return torch.from_numpy(np.stack(made)).to(pixels.device)

    def _one(self, pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        height, width, channels = pixels.shape
        box, mirror = draw_crop(self.flip, seed, width, height)
        image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
        resized = image.crop(box).resize((width, height), Image.Resampling.BILINEAR)
        made = np.asarray(resized).reshape(height, width, channels)
        return made[:, ::-1] if mirror else made

    def read(
        self,
        files: ImageFiles,
        index: Sequence[NDArray[np.int64]],
        view: Sequence[NDArray[np.int64]],
    ) -> Iterator[NDArray[np.uint8]]:
        """Batch after batch of views, uint8 [B, size, size, 3], cut from the original images."""
        return files.batches(index, map(self._crops, view))

    def _crops(self, views: NDArray[np.int64]) -> list[Crop]:
        return [partial(draw_crop, self.flip, seed) for seed in views.tolist()]


def draw_crop(flip: bool, seed: int, width: int, height: int) -> tuple[Box, bool]:
    """The box of a view, in pixels, and whether it is mirrored.

    Area and the logarithm of the shape are uniform; where ten boxes in turn do not fit, the
    largest central one of a permitted shape is taken.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    mirror = bool(rng.integers(2)) and flip
    for _ in range(_TRIES):
        area = width * height * rng.uniform(*_AREA)
        ratio = math.exp(rng.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return (left, top, left + w, top + h), mirror
    w, h = min(width, round(height * _RATIO[1])), min(height, round(width / _RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return (left, top, left + w, top + h), mirror
