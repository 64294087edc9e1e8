"""Plain convolutional networks: the smallest students."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tutelage.models.head import Head


class PlainNet(nn.Module):
    """Stages of 3x3 convolution (no bias), BatchNorm and ReLU; mean over space; a linear head.

    The first stage keeps the resolution, each later one halves it (stride 2).
    Images [B, channels, H, W] become logits [B, classes].
    """

    def __init__(self, widths: Sequence[int], channels: int, classes: int) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.stages = nn.Sequential(
            *(
                _stage(before, width, stride=2 if index else 1)
                for index, (before, width) in enumerate(zip(inputs, widths, strict=True))
            )
        )
        self.head = Head(widths[-1], classes)
        self.embedding = "head:input"
        self.stage_ends = tuple(f"stages.{index}" for index in range(len(self.stages)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(images).mean((2, 3)))


def _stage(before: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
