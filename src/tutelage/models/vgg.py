"""VGG networks (Simonyan and Zisserman, 2014, arXiv 1409.1556) with BatchNorm, for small images."""

from __future__ import annotations

from torch import Tensor, nn

_WIDTHS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {
    8: (1, 1, 1, 1, 1),
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


class VGG(nn.Module):
    """VGG-d as the distillation literature has it (Tian et al., arXiv 1910.10699).

    Five stages of 3x3 convolutions (with bias), each followed by BatchNorm and ReLU; the largest of
    each 2x2 square after the first `poolings` stages (a rest is cut off); mean over space; a linear
    head. The depth counts three linear layers, of which one is left.
    Images [B, channels, H, W] of at least 2**poolings pixels a side become logits [B, classes].
    """

    def __init__(self, depth: int, poolings: int, channels: int, classes: int) -> None:
        super().__init__()
        inputs = (channels, *_WIDTHS[:-1])
        counts = _CONVOLUTIONS[depth]
        self.stages = nn.Sequential(
            *(
                _stage(before, width, count, pools=index < poolings)
                for index, (before, width, count) in enumerate(
                    zip(inputs, _WIDTHS, counts, strict=True)
                )
            )
        )
        self.head = nn.Linear(_WIDTHS[-1], classes)
        self.embedding = "head:input"
        self.stage_ends = tuple(f"stages.{index}" for index in range(len(self.stages)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(images).mean((2, 3)))


def _stage(before: int, width: int, convolutions: int, *, pools: bool) -> nn.Sequential:
    stage = nn.Sequential()
    for index in range(convolutions):
        stage.append(nn.Conv2d(width if index else before, width, 3, padding=1))
        stage.append(nn.BatchNorm2d(width))
        stage.append(nn.ReLU(inplace=True))
    if pools:
        stage.append(nn.MaxPool2d(2))
    return stage
