"""Densely connected networks of Huang et al., 2016 (arXiv 1608.06993), without dropout."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.models.head import Head


class DenseNet(nn.Module):
    """DenseNet-BC-d-k with d = 6n + 4: three blocks of n layers, each of which adds k channels.

    The stem has 2k channels. A transition after the first and the second block keeps half of the
    channels (rounded down) and half of the resolution. Depth counts the stem, two convolutions
    a layer, the transitions and the head.
    Images [B, channels, H, W] of at least 4x4 pixels become logits [B, classes].
    """

    def __init__(self, depth: int, growth: int, channels: int, classes: int) -> None:
        super().__init__()
        layers = (depth - 4) // 6
        width = 2 * growth
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential()
        for block in range(3):
            if block:
                self.blocks.append(Transition(width, width // 2))
                width //= 2
            self.blocks.append(_block(width, layers, growth))
            width += layers * growth
        self.norm = nn.BatchNorm2d(width)
        self.head = Head(width, classes)
        self.embedding = "head:input"
        self.stage_ends = ("blocks.0", "blocks.2", "blocks.4")  # the others are transitions

    def forward(self, images: Tensor) -> Tensor:
        features = self.blocks(self.stem(images))
        features = F.relu(self.norm(features), inplace=True)
        return self.head(features.mean((2, 3)))


class DenseLayer(nn.Module):
    """Adds `growth` channels to its input: BatchNorm, ReLU and a convolution, twice.

    The first convolution is a 1x1 bottleneck of 4 x growth channels, the second 3x3.
    """

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.conv1(F.relu(self.norm1(inputs), inplace=True))
        added = self.conv2(F.relu(self.norm2(hidden), inplace=True))
        return torch.cat((inputs, added), 1)


class Transition(nn.Module):
    """BatchNorm, ReLU and 1x1 convolution; then the mean of each 2x2 square (a rest is cut off)."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(before)
        self.conv = nn.Conv2d(before, width, 1, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.norm(inputs), inplace=True)), 2)


def _block(before: int, layers: int, growth: int) -> nn.Sequential:
    return nn.Sequential(*(DenseLayer(before + i * growth, growth) for i in range(layers)))
