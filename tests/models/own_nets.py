"""Networks such as users write, of every kind of output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

KINDS = ("tensor", "dict", "odd dict", "tuple", "object")


@dataclass
class Output:
    logits: Tensor
    hidden: Tensor


class Net(nn.Module):
    """A convolution and a linear layer, with dropout; `kind` says what comes out."""

    def __init__(self, num_classes: int, in_channels: int, kind: str = "dict", width: int = 4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU())
        self.classifier = nn.Linear(width, num_classes)
        self.kind = kind

    def forward(self, images: Tensor) -> Any:
        hidden = self.body(images).mean((2, 3))
        logits = self.classifier(hidden)
        return {
            "tensor": logits,
            "dict": {"hidden": hidden, "logits": logits},
            "odd dict": {"out": logits, "count": 3},
            "tuple": (logits, hidden),
            "object": Output(logits, hidden),
        }[self.kind]


def small(num_classes: int, in_channels: int, width: int = 4) -> nn.Module:
    return Net(num_classes, in_channels, width=width)


def everything(**given: Any) -> nn.Module:
    network = Net(given["num_classes"], given["in_channels"])
    network.given = given
    return network


ONE = Net(10, 1)


def always_one() -> nn.Module:
    return ONE


def wrong_count() -> nn.Module:
    return Net(7, 1)


def no_network(num_classes: int) -> int:
    return num_classes


def fails(in_channels: int) -> nn.Module:
    raise RuntimeError(f"no network for {in_channels} channels")


def restless(num_classes: int, in_channels: int) -> nn.Module:
    network = Net(num_classes, in_channels)
    fresh = torch.Generator()
    fresh.seed()
    nn.init.normal_(network.classifier.weight, generator=fresh)
    return network
