"""The names of the models: `wrn-16-2`, `resnet-8x4`. Nothing here imports PyTorch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.config.schema_model import LOGITS, ModelConfig, read_model
from tutelage.errors import UserError, nearest

_NUMBER = re.compile(r"[1-9][0-9]{0,3}")
_NARROW = {"0.25": 0.25, "0.5": 0.5, "0.75": 0.75}  # widening factors of fewer than 16 channels
_IMAGENET = (18, 34, 50, 101, 152)  # ResNets that everybody knows, and that are other networks


@dataclass(frozen=True)
class _Family:
    """What the names of one family look like, and which images its networks take.

    `numbers` says in words what follows the family's name, `counts` how many numbers that may be,
    and `rule` in words which `depths` there are; a family without `depths` has widths instead.
    `least_side` is the fewest pixels that the shorter side of an image may have.
    """

    kind: str
    form: str
    summary: str
    example: str
    numbers: str
    counts: range
    depths: Sequence[int] = ()
    rule: str = ""
    least_side: int = 1


_FAMILIES: dict[str, _Family] = {
    "densenet-bc": _Family(
        kind="DenseNet-BC",
        form="densenet-bc-d-k",
        summary="DenseNet with bottlenecks and compression, of depth d = 6n + 4 and growth rate k",
        example="densenet-bc-40-12",
        numbers="a depth and a growth rate",
        counts=range(2, 3),
        depths=range(10, 10_000, 6),
        rule="6n + 4 (10, 16, 22, ...)",
        least_side=4,
    ),
    "plain": _Family(
        kind="plain network",
        form="plain-W-W-...",
        summary="one 3x3 convolution of W channels a stage, each stage after the first at half the "
        "resolution",
        example="plain-8-8-8",
        numbers="one width a stage",
        counts=range(1, 10_000),
    ),
    "resnet": _Family(
        kind="ResNet for small images",
        form="resnet-d or resnet-dxk",
        summary="CIFAR ResNet of depth d = 6n + 2, k times as wide as resnet-20",
        example="resnet-8x4",
        numbers="a depth, and a widening factor where it is wider",
        counts=range(1, 3),
        depths=[depth for depth in range(8, 10_000, 6) if depth not in _IMAGENET],
        rule="6n + 2 (8, 14, 20, ...) and none of those known from ImageNet "
        f"({', '.join(map(str, _IMAGENET))})",
    ),
    "vgg": _Family(
        kind="VGG",
        form="vgg-d",
        summary="VGG of depth d = 8, 11, 13, 16 or 19 with BatchNorm and one linear layer",
        example="vgg-8",
        numbers="a depth alone",
        counts=range(1, 2),
        depths=(8, 11, 13, 16, 19),
        rule="8, 11, 13, 16 or 19",
        least_side=8,
    ),
    "wrn": _Family(
        kind="wide ResNet",
        form="wrn-d-k",
        summary="wide ResNet of depth d = 6n + 4 and widening factor k, a whole number or 0.25, "
        "0.5, 0.75",
        example="wrn-16-2",
        numbers="a depth and a widening factor",
        counts=range(2, 3),
        depths=range(10, 10_000, 6),
        rule="6n + 4 (10, 16, 22, ...)",
    ),
}

_STARTS = {**{name: name for name in _FAMILIES}, "wideresnet": "wrn", "wide-resnet": "wrn"}

FAMILIES: dict[str, str] = {
    name: f"{family.form}: {family.summary}, such as {family.example}"
    for name, family in _FAMILIES.items()
}


# Networks from elsewhere, by the form of their names.
FOREIGN: dict[str, str] = {
    "timm:NAME": "any image classifier of timm, such as timm:resnet18",
    "torchvision:NAME": "any image classifier of torchvision, such as torchvision:resnet18",
    "hf:NAME": "an image classifier of Hugging Face transformers: a local folder, a config file, a "
    "kind of network such as hf:resnet, or a name on the hub",
    "MODULE:FUNCTION": "your own: my_package.nets:small or nets.py:small, called with those of "
    "num_classes, in_channels and image_size that it takes",
    "logits@FILE": "a teacher of whom only logits are there: an .npz file with arrays `train` and "
    "`test`, a row for each image",
    "NAME@WEIGHTS": "any of these, started from a safetensors or state_dict file, or from "
    "`pretrained`",
}


@dataclass(frozen=True)
class ModelName:
    """A model's name, taken apart.

    `numbers` are the widths of the stages (plain), the depth (vgg), depth and widening factor
    (resnet, wrn), or depth and growth rate (densenet-bc).
    """

    family: str
    numbers: tuple[float, ...]

    @property
    def canonical(self) -> str:
        """The one spelling of this name, which goes into identities."""
        if self.family == "resnet":
            depth, factor = self.numbers
            return f"resnet-{depth:g}" if factor == 1 else f"resnet-{depth:g}x{factor:g}"
        return "-".join((self.family, *(f"{number:g}" for number in self.numbers)))

    @property
    def is_tiny(self) -> bool:
        """Whether it is a plain or wide residual network of at most 16 channels a layer."""
        widest = {"plain": max(self.numbers), "wrn": 64 * self.numbers[-1]}
        return widest.get(self.family, math.inf) <= 16


def parse_model(name: str, *, where: str | None = None) -> ModelName:
    """The parts of a model's name.

    Capitals, underscores for hyphens and a missing first hyphen do not matter: `WRN_16_1` and
    `WideResNet16-1` are `wrn-16-1`; `resnet8x4`, `resnet-8x4` and `resnet-8-4` are one network.

    `where` is the key that holds the name, for the message. Raises UserError for an unknown family,
    for what is no whole number from 1 to 9999, for too few or too many numbers, and for a depth
    that the family does not have.
    """
    text = name.strip().lower().replace("_", "-")
    start = next((known for known in _STARTS if text.startswith(known)), None)
    if start is None:
        raise _unknown_family(name, text, where)
    family = _STARTS[start]
    about = _FAMILIES[family]
    numbers = _read_numbers(name, family, text.removeprefix(start).removeprefix("-"), where)
    if len(numbers) not in about.counts:
        what = f"'{name}' is no model: a {about.kind} has {about.numbers}."
        raise UserError(what, where=where, fix=f"Write {about.form}, such as {about.example}.")
    if family == "resnet" and len(numbers) == 1:
        numbers = (*numbers, 1)
    model = ModelName(family, numbers)
    if about.depths and numbers[0] not in about.depths:
        raise _wrong_depth(name, model, where)
    return model


def check_shape(name: str, shape: tuple[int, int, int], *, where: str | None = None) -> None:
    """Raises UserError where images of `shape` (H, W, C) are too small for the network `name`.

    Also for a name that is no model. Of networks from elsewhere nothing is known. `where` is the
    key that holds the name.
    """
    config = described(name, where=where)
    if config.library is not None or config.size is not None or config.name == LOGITS:
        return  # which sizes it takes is found out by running it
    model = parse_model(config.name)
    least, (height, width, _) = _FAMILIES[model.family].least_side, shape
    if min(height, width) < least:
        what = (
            f"'{model.canonical}' halves the resolution until nothing is left of images of "
            f"{height}x{width} pixels: the shorter side needs at least {least}."
        )
        fix = "Take larger images, or a model for images of every size, such as resnet-20."
        raise UserError(what, where=where, fix=fix)


def described(text: str, *, where: str | None = None) -> ModelConfig:
    """What the text of a model says, a built-in one by its canonical name.

    `where` is the key that holds it. Raises UserError for what names no model, as far as this can
    be told without building it.
    """
    try:
        config = read_model(text)
    except ValueError as error:
        raise UserError(f"'{text}' names no model: {error}.", where=where) from None
    if config.name == LOGITS:
        return config
    if config.library is None:
        name = parse_model(config.name, where=where).canonical
        if config.arguments:
            raise UserError(f"{name} takes no arguments.", where=where, fix="Leave them out.")
        return config.model_copy(update={"name": name})
    if not config.name.partition(":")[2]:
        what = f"'{config.name}' names no model: nothing follows the colon."
        raise UserError(what, where=where, fix=_known())
    return config


def canonical_model(text: str) -> str:
    """The one spelling of a model's text. Raises UserError as `described` does."""
    return described(text).text


def is_tiny(text: str) -> bool:
    """Whether it is a built-in network, left as it is, that is tiny (see ModelName.is_tiny)."""
    config = described(text)
    return config.is_bare and parse_model(config.name).is_tiny


def _read_numbers(name: str, family: str, rest: str, where: str | None) -> tuple[float, ...]:
    texts = rest.replace("x", "-").split("-") if family == "resnet" else rest.split("-")
    narrow = family == "wrn" and len(texts) == 2 and texts[1] in _NARROW
    whole = texts[:1] if narrow else texts
    if not all(_NUMBER.fullmatch(text) for text in whole):
        what = f"'{name}' is no model: after '{family}-' come whole numbers from 1 to 9999."
        raise UserError(what, where=where, fix=_known())
    return tuple(_NARROW[text] if text in _NARROW else int(text) for text in texts)


def _unknown_family(name: str, text: str, where: str | None) -> UserError:
    word = re.split("[0-9]", text)[0].strip("-")
    guess = nearest(word, _FAMILIES)
    hint = f"Did you mean one like '{_FAMILIES[guess].example}'? " if guess else ""
    return UserError(f"unknown model '{name}'.", where=where, fix=hint + _known())


def _wrong_depth(name: str, model: ModelName, where: str | None) -> UserError:
    about, (depth, *rest) = _FAMILIES[model.family], model.numbers
    below = [known for known in about.depths if known < depth][-1:]
    above = [known for known in about.depths if known > depth][:1]
    near = [ModelName(model.family, (known, *rest)).canonical for known in (*below, *above)]
    what = f"'{name}': the depth of a {about.kind} is {about.rule}, not {depth:g}."
    verb = "are" if len(near) == 2 else "is"
    return UserError(what, where=where, fix=f"The nearest {verb} {' and '.join(near)}.")


def _known() -> str:
    elsewhere = ", ".join(list(FOREIGN)[:-1])
    return "Known: " + "; ".join(FAMILIES.values()) + f"; and networks from elsewhere: {elsewhere}."
