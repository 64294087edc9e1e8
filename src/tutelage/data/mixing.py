"""Mixing the images of a batch with each other: mixup and cutmix.

Pixels are mixed before they are normalised, and as uint8, so that student and teacher see one and
the same image, whatever each does with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Mixed:
    """What a batch was mixed of: image b is `share` of itself and the rest of another image, whose
    label is `labels[b]` (int64 [B])."""

    labels: Tensor
    share: float


@dataclass(frozen=True)
class Mixer:
    """Mixes each image of a batch with another one of it, all of a batch in the same way.

    `mixup` and `cutmix` are the parameter a of the Beta(a, a) from which the share of the first
    image is drawn; 0 leaves the method out. With both, a coin decides for each batch.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def mix(self, pixels: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Mixed]:
        """Pixels uint8 [B, H, W, C] mixed, and of what; `labels` are int64 [B]."""
        partner = torch.from_numpy(rng.permutation(len(labels))).to(labels.device)
        heads = bool(rng.integers(2))
        if self.mixup and (heads or not self.cutmix):
            share = float(rng.beta(self.mixup, self.mixup))
            made = mixup(pixels, pixels[partner], share)
        else:
            drawn = float(rng.beta(self.cutmix, self.cutmix))
            height, width = pixels.shape[1:3]
            box = draw_box(height, width, drawn, rng)
            made, share = cutmix(pixels, pixels[partner], box)
        return made, Mixed(labels[partner], share)


def mixup(pixels: Tensor, others: Tensor, share: float) -> Tensor:
    """share * pixels + (1 - share) * others, rounded to uint8 (Zhang et al. 2018,
    arXiv 1710.09412, equation 2)."""
    mixed = pixels.to(torch.float32) * share + others.to(torch.float32) * (1 - share)
    return mixed.round_().to(torch.uint8)


def draw_box(
    height: int, width: int, share: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a box of 1 - share of the area, its centre anywhere; what lies
    outside the image is cut off (Yun et al. 2019, arXiv 1905.04899, equation 2)."""
    side = math.sqrt(1 - share)
    edges = []
    for length in (height, width):
        centre, half = int(rng.integers(length)), int(length * side) // 2
        edges += [max(0, centre - half), min(length, centre + half)]
    return edges[0], edges[1], edges[2], edges[3]


def cutmix(pixels: Tensor, others: Tensor, box: tuple[int, int, int, int]) -> tuple[Tensor, float]:
    """`pixels` with `box` (top, bottom, left, right) taken from `others`, and the share of the
    area that is left of `pixels` (Yun et al. 2019, arXiv 1905.04899, equation 1)."""
    top, bottom, left, right = box
    mixed = pixels.clone()
    mixed[:, top:bottom, left:right] = others[:, top:bottom, left:right]
    area = pixels.shape[1] * pixels.shape[2]
    return mixed, 1 - (bottom - top) * (right - left) / area
