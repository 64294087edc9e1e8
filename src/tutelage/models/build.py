"""From a name to a network with seeded initial weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from tutelage.models.catalog import check_shape, parse_model
from tutelage.models.densenet import DenseNet
from tutelage.models.plain import PlainNet
from tutelage.models.resnet import ResNet
from tutelage.models.vgg import VGG
from tutelage.models.wide_resnet import WideResNet

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""


def _densenet(numbers: Sequence[float], shape: Shape, classes: int) -> nn.Module:
    depth, growth = numbers
    return DenseNet(int(depth), int(growth), shape[2], classes)


def _plain(numbers: Sequence[float], shape: Shape, classes: int) -> nn.Module:
    return PlainNet([int(width) for width in numbers], shape[2], classes)


def _resnet(numbers: Sequence[float], shape: Shape, classes: int) -> nn.Module:
    depth, factor = numbers
    return ResNet(int(depth), int(factor), shape[2], classes)


def _vgg(numbers: Sequence[float], shape: Shape, classes: int) -> nn.Module:
    poolings = 4 if min(shape[:2]) >= 64 else 3  # 64x64 pixels also come to 4x4 in the literature
    return VGG(int(numbers[0]), poolings, shape[2], classes)


def _wide_resnet(numbers: Sequence[float], shape: Shape, classes: int) -> nn.Module:
    depth, factor = numbers
    return WideResNet(int(depth), factor, shape[2], classes)


_BUILDERS: dict[str, Callable[[Sequence[float], Shape, int], nn.Module]] = {
    "densenet-bc": _densenet,
    "plain": _plain,
    "resnet": _resnet,
    "vgg": _vgg,
    "wrn": _wide_resnet,
}


def build_model(name: str, shape: Shape, classes: int, seed: int) -> nn.Module:
    """The network `name` for images of `shape` (H, W, C), on the CPU, in channels_last layout.

    It maps float32 [B, C, H, W] to logits [B, classes]. Its weights are a pure function of the
    arguments; global random state has no influence and is left as it was. Convolutions: normal
    of variance 2 / (kernel area x output channels) (He et al. 2015, arXiv 1502.01852, "fan out"),
    bias 0. BatchNorm: weight 1, bias 0. Head: uniform within 1 / sqrt(inputs), bias 0.

    Raises UserError for a name that is no model, and for images too small for the network.
    """
    model = new_model(name, shape, classes)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        _initialise(module, generator)
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def new_model(name: str, shape: Shape, classes: int) -> nn.Module:
    """The network `name` with arbitrary weights; global random state is put back afterwards.

    Raises UserError as build_model does.
    """
    check_shape(name, shape)
    model = parse_model(name)
    with torch.random.fork_rng(devices=[]):
        return _BUILDERS[model.family](model.numbers, shape, classes)


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Fill the parameters and buffers that `module` itself holds."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(
            module.weight, mode="fan_out", nonlinearity="relu", generator=generator
        )
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        module.reset_parameters()
    elif isinstance(module, nn.Linear):
        bound = 1 / math.sqrt(module.in_features)
        nn.init.uniform_(module.weight, -bound, bound, generator=generator)
        nn.init.zeros_(module.bias)
    elif any(True for _ in module.parameters(recurse=False)):
        raise TypeError(f"no initial values are defined for {type(module).__name__}")
