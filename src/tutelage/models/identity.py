"""What a study writes down of a network that is not built in: that it works, and what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tutelage.config.canonical import digest
from tutelage.config.schema_model import LOGITS, PRETRAINED, ModelConfig, identified
from tutelage.errors import UserError, unknown
from tutelage.models.adapted import inner
from tutelage.models.build import Shape, build_model
from tutelage.models.catalog import described
from tutelage.models.foreign import own_settings, pretrained_state, told
from tutelage.models.logged import Given, read_logits
from tutelage.models.own import own_code
from tutelage.models.weights import fit_weights, read_weights
from tutelage.store.arrays import pack
from tutelage.store.blobs import sha256


@dataclass(frozen=True)
class Identity:
    """A network's text with its weights by digest and its code by its mark, and these weights."""

    text: str
    weights: dict[str, np.ndarray] | None = None


def identify(
    text: str, shape: Shape, class_names: Sequence[str], given: Given | None = None
) -> Identity:
    """Builds and tries the network `text` on images of `shape` (H, W, C), and says what it is;
    `given` gives the source's images to a file of logits.

    The mark of a network from elsewhere is a digest of its initial weights for seed 0; of a user's
    own with that of its code or, where one is declared, without it (the version stands for it).
    Raises UserError where it cannot be built, gives no logits, draws from elsewhere than the
    generators that are seeded, or its weights from outside do not fit.
    """
    config = described(text)
    config = config.model_copy(update={"class_order": _numbered(config, class_names)})
    bare = config.model_copy(update={"weights": None})
    if config.library is None and config.is_bare and config.weights is None:
        return Identity(config.text)
    code = None
    if not config.is_bare:
        _try(bare, shape, len(class_names))
    if config.library is not None:
        code = _code(bare, shape, len(class_names))
    if config.weights is None:
        return Identity(identified(config, code))
    if config.name == LOGITS:
        assert given is not None, "whoever lets logits teach knows their images"
        outputs = len(config.class_order or class_names)
        arrays = read_logits(config.weights, outputs, given)
    else:
        arrays = _weights(config, bare, shape, len(class_names))
    config = config.model_copy(update={"weights": sha256(pack(arrays))})
    return Identity(identified(config, code), arrays)


def _numbered(config: ModelConfig, class_names: Sequence[str]) -> list[str | int | None] | None:
    """The class of each output by number."""
    if config.class_order is None:
        return None
    named = [name for name in config.class_order if isinstance(name, str)]
    known = list(class_names)
    if all(name not in known for name in named) and named:
        raise unknown("class", named[0], known, where=f"{config.name}, class_order")
    # Classes that the data does not have are outputs that nobody asks for.
    return [
        (known.index(name) if name in known else None) if isinstance(name, str) else name
        for name in config.class_order
    ]


def _try(config: ModelConfig, shape: Shape, classes: int) -> None:
    """Raises UserError where the network does not make logits of images, to learn or to be used."""
    height, width, channels = shape
    model = build_model(config.text, shape, classes, 0)
    images = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        with torch.no_grad(), torch.random.fork_rng(devices=[]), told(config.name):
            logits = model.train(mode)(images)
        if tuple(logits.shape) != (2, classes):
            raise UserError(
                f"gives {list(logits.shape)} for 2 images; [2, {classes}] are wanted, one logit a "
                "class.",
                where=config.name,
            )
        if not logits.is_floating_point():
            raise UserError(f"gives {logits.dtype}, no logits.", where=config.name)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError("has nothing that could be trained.", where=config.name)


def _code(config: ModelConfig, shape: Shape, classes: int) -> str:
    networks = [inner(build_model(config.text, shape, classes, 0)) for _ in range(2)]
    first, second = map(_state_digest, networks)
    if first != second:
        raise UserError(
            "begins with other weights each time, though all generators are seeded.",
            where=config.name,
            fix="Let it draw from PyTorch's, NumPy's or Python's own generator.",
        )
    own = config.library == "own" and config.version is None
    code = own_code(config.name, networks[0]) if own else None
    return digest([first, code, own_settings(config, networks[0])])[:16]


def _state_digest(network: nn.Module) -> str:
    sha = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        sha.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        sha.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def _weights(
    config: ModelConfig, bare: ModelConfig, shape: Shape, classes: int
) -> dict[str, np.ndarray]:
    weights = config.weights or ""
    state = pretrained_state(config) if weights == PRETRAINED else read_weights(weights)

    def build(count: int) -> nn.Module:
        if config.class_order is None:
            return inner(build_model(bare.text, shape, count, 0))
        order = [*range(classes), *[None] * (count - classes)]
        like = bare.model_copy(update={"class_order": order})
        return inner(build_model(like.text, shape, classes, 0))

    count = classes if config.class_order is None else len(config.class_order)
    where = f"{config.name}@{weights}"
    return fit_weights(state, build, count, replace_head=config.head is not None, where=where)
