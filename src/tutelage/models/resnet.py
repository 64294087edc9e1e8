"""Residual networks for small images of He et al., 2015 (arXiv 1512.03385, section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ResNet(nn.Module):
    """ResNet-d with d = 6n + 2: three stages of n blocks of width 16k, 32k, 64k.

    The second and third stage start with stride 2. Depth counts the 3x3 convolutions and the head.
    A wider network's stem has 8k channels, as the x2 and x4 networks of the distillation
    literature do (resnet8x4 and resnet32x4 of Tian et al., arXiv 1910.10699: 32); for k = 1 it has
    16. Shortcuts are projections, as there; the first paper's own, for CIFAR, have no parameters.
    Images [B, channels, H, W] become logits [B, classes].
    """

    def __init__(self, depth: int, factor: int, channels: int, classes: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        widths = (16 * factor, 32 * factor, 64 * factor)
        stem = max(16, 8 * factor)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, stem, 3, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.Sequential(
            _stage(stem, widths[0], blocks, stride=1),
            _stage(widths[0], widths[1], blocks, stride=2),
            _stage(widths[1], widths[2], blocks, stride=2),
        )
        self.head = nn.Linear(widths[2], classes)
        self.embedding = "head:input"
        self.stage_ends = ("stages.0", "stages.1", "stages.2")

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(images)).mean((2, 3)))


class BasicBlock(nn.Module):
    """3x3 convolution, BatchNorm, ReLU, convolution, BatchNorm; added to a shortcut; ReLU.

    Where width or resolution change, the shortcut is a 1x1 convolution and BatchNorm.
    """

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        changes = before != width or stride != 1
        self.shortcut = _projection(before, width, stride) if changes else None

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = F.relu(self.norm1(self.conv1(inputs)), inplace=True)
        shortcut = inputs if self.shortcut is None else self.shortcut(inputs)
        return F.relu(self.norm2(self.conv2(hidden)) + shortcut, inplace=True)


def _projection(before: int, width: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, width, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width))


def _stage(before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(before, width, stride)
    return nn.Sequential(first, *(BasicBlock(width, width, 1) for _ in range(blocks - 1)))
