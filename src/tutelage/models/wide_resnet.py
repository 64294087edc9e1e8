"""Wide residual networks of Zagoruyko and Komodakis, 2016 (arXiv 1605.07146), without dropout."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class WideResNet(nn.Module):
    """WRN-d-k with d = 6n + 4: three groups of n pre-activation blocks of width 16k, 32k, 64k.

    The second and third group start with stride 2. Depth counts the 3x3 convolutions of the blocks,
    the stem, and the three convolutions on shortcuts, as the paper does. A factor below 1 makes
    a narrow network, whose stem is as narrow as its first group.
    Images [B, channels, H, W] become logits [B, classes].
    """

    def __init__(self, depth: int, factor: float, channels: int, classes: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        widths = (round(16 * factor), round(32 * factor), round(64 * factor))
        stem = min(16, widths[0])
        self.stem = nn.Conv2d(channels, stem, 3, padding=1, bias=False)
        self.groups = nn.Sequential(
            _group(stem, widths[0], blocks, stride=1),
            _group(widths[0], widths[1], blocks, stride=2),
            _group(widths[1], widths[2], blocks, stride=2),
        )
        self.norm = nn.BatchNorm2d(widths[2])
        self.head = nn.Linear(widths[2], classes)
        self.embedding = "head:input"
        self.stage_ends = (
            "groups.0",
            "groups.1",
            "groups.2",
        )  # before the BatchNorm of what comes next

    def forward(self, images: Tensor) -> Tensor:
        features = self.groups(self.stem(images))
        features = F.relu(self.norm(features), inplace=True)
        return self.head(features.mean((2, 3)))


class Block(nn.Module):
    """BatchNorm, ReLU, 3x3 convolution, twice, added to a shortcut.

    Where width or resolution change, the shortcut is a 1x1 convolution of the activated input.
    """

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        changes = before != width or stride != 1
        self.shortcut = nn.Conv2d(before, width, 1, stride, bias=False) if changes else None

    def forward(self, inputs: Tensor) -> Tensor:
        active = F.relu(self.norm1(inputs), inplace=True)
        shortcut = inputs if self.shortcut is None else self.shortcut(active)
        hidden = F.relu(self.norm2(self.conv1(active)), inplace=True)
        return shortcut + self.conv2(hidden)


def _group(before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Block(before, width, stride)
    return nn.Sequential(first, *(Block(width, width, 1) for _ in range(blocks - 1)))
