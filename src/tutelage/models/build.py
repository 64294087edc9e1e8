"""From a name to a network with seeded initial weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from tutelage.config.schema_model import LOGITS, ModelConfig
from tutelage.errors import UserError
from tutelage.models.adapted import Adapted
from tutelage.models.catalog import check_shape, described, parse_model
from tutelage.models.densenet import DenseNet
from tutelage.models.draws import drawn_from
from tutelage.models.foreign import TORCHVISION_CHANNELS, Shape, build_foreign
from tutelage.models.logged import LoggedLogits
from tutelage.models.plain import PlainNet
from tutelage.models.resnet import ResNet
from tutelage.models.vgg import VGG
from tutelage.models.wide_resnet import WideResNet

__all__ = ["Shape", "build_model", "new_model"]


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

    A network from elsewhere has the weights that its own code draws, from generators that `seed`
    has set. Weights from outside are whoever calls this to load.

    Raises UserError for a name that is no model, and for images too small for the network.
    """
    config = described(name)
    if config.library is None:
        model = new_model(name, shape, classes)
        generator = torch.Generator().manual_seed(seed)
        for module in model.modules():
            _initialise(module, generator)
    else:
        with drawn_from(seed):
            model = _built(config, shape, classes)
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def new_model(name: str, shape: Shape, classes: int) -> nn.Module:
    """The network `name` with arbitrary weights; global random state is put back afterwards.

    Raises UserError as build_model does.
    """
    check_shape(name, shape)
    with drawn_from(0):
        return _built(described(name), shape, classes)


def _built(config: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """A network, adapted where it is not built in or wants to be."""
    seen, outputs = _seen(config, shape), _outputs(config, classes)
    count = classes if config.class_order is None else len(config.class_order)
    if config.name == LOGITS:
        return Adapted(LoggedLogits(count), mean=[0.0], std=[1.0], outputs=outputs)
    if config.library is not None:
        network = build_foreign(config, seen, count)
    else:
        model = parse_model(config.name)
        network = _BUILDERS[model.family](model.numbers, seen, count)
    if config.is_bare:
        return network
    return Adapted(
        network,
        channels=seen[2] if seen[2] != shape[2] else None,
        size=seen[:2] if seen[:2] != shape[:2] else None,
        mean=config.mean,
        std=config.std,
        outputs=outputs,
    )


def _seen(config: ModelConfig, shape: Shape) -> Shape:
    """Height, width and channels of the images that the network itself gets."""
    size = config.size or shape[:2]
    height, width = (size, size) if isinstance(size, int) else size
    channels = config.channels or shape[2]
    if config.library == "torchvision" and config.channels is None:
        channels = TORCHVISION_CHANNELS
    if channels != shape[2] and shape[2] != 1:
        raise UserError(f"takes images of {channels} channels, and these have {shape[2]}.",
                        where=config.name, fix="Only grey images can be repeated.")  # fmt: skip
    if config.mean is not None and len(config.mean) not in (1, channels):
        raise UserError(f"mean has {len(config.mean)} numbers for {channels} channels.",
                        where=config.name, fix="Give one a channel.")  # fmt: skip
    return height, width, channels


def _outputs(config: ModelConfig, classes: int) -> list[int] | None:
    """Of each of the study's classes, the network's output that stands for it."""
    if config.class_order is None:
        return None
    named = [number for number in config.class_order if number is not None]
    if sorted(named, key=str) != sorted(range(classes), key=str):
        raise UserError(
            f"class_order names {len(named)} classes, and the data has {classes}; each has to be "
            "named once.",
            where=config.name,
            fix="List a class (or null) for every output of the network.",
        )
    return [config.class_order.index(number) for number in range(classes)]


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
    elif isinstance(module, LoggedLogits):
        pass  # it says what was said
    elif any(True for _ in module.parameters(recurse=False)):
        raise TypeError(f"no initial values are defined for {type(module).__name__}")
