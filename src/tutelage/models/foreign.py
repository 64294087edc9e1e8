"""Networks from elsewhere: of timm, of torchvision, of transformers, or a user's own."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import nn

from tutelage.config.schema_model import PRETRAINED, ModelConfig
from tutelage.data.torchvision import import_torchvision
from tutelage.errors import UserError, nearest
from tutelage.models.draws import drawn_from
from tutelage.models.own import build_own

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""

# Classifiers of torchvision have no argument for the channels of an image.
TORCHVISION_CHANNELS = 3


def build_foreign(config: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """The network that `config` names, for images of `shape` (H, W, C), in float32; what it draws
    comes from the global generators. Raises UserError where it cannot be built."""
    build = {"timm": _timm, "torchvision": _torchvision, "hf": _hugging_face, "own": _own}
    with told(config.name):
        network = build[config.library or ""](config, shape, classes)
    return network.float()


def pretrained_state(config: ModelConfig) -> dict[str, torch.Tensor]:
    """The weights that a library has for a network. Raises UserError where it has none, or they
    cannot be fetched."""
    arguments = config.arguments or {}
    with told(f"{config.name}@{PRETRAINED}"):
        match config.library:
            case "timm":
                network = _import_timm().create_model(_rest(config), pretrained=True, **arguments)
            case "torchvision":
                models = _import_torchvision(config)
                network = models.get_model(_rest(config), weights="DEFAULT", **arguments)
            case "hf":
                auto, rest = _import_transformers(config), _rest(config)
                network = auto.AutoModelForImageClassification.from_pretrained(rest, **arguments)
            case _:
                raise UserError("nobody has weights for it.", fix="Name a file: NAME@FILE.")
        return dict(network.state_dict())


def own_settings(config: ModelConfig, network: nn.Module) -> Any:
    """What of a network's settings its weights do not show, as plain values."""
    if config.library != "hf":
        return None
    settings = cast("Any", network).config.to_diff_dict()
    passing = ("transformers_version", "_name_or_path", "dtype", "torch_dtype")
    return repr(sorted((key, value) for key, value in settings.items() if key not in passing))


@contextmanager
def told(name: str) -> Iterator[None]:
    """Turns whatever a foreign network raises into one UserError about `name`."""
    try:
        yield
    except UserError as error:
        raise UserError(error.what, where=error.where or name, fix=error.fix) from error
    except Exception as error:  # code of others may fail in any way
        said = (str(error).strip() or "nothing more is said").splitlines()[0]
        raise UserError(f"{type(error).__name__}: {said}", where=name) from error


def _rest(config: ModelConfig) -> str:
    return config.name.partition(":")[2]


def _own(config: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    return build_own(config.name, config.arguments or {}, shape, classes)


def _timm(config: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    timm, name = _import_timm(), _rest(config)
    if ":" not in name and not timm.is_model(name):
        raise _unknown(name, "timm", timm.list_models())
    given: dict[str, Any] = {"num_classes": classes, "in_chans": shape[2]}
    known = timm.models.get_pretrained_cfg(name) if ":" not in name else None
    if known is not None and known.fixed_input_size:
        given["img_size"] = shape[:2]
    return timm.create_model(name, pretrained=False, **(given | (config.arguments or {})))


def _torchvision(config: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    models, name = _import_torchvision(config), _rest(config)
    if name not in models.list_models(module=models):
        raise _unknown(name, "torchvision", models.list_models(module=models))
    return models.get_model(name, weights=None, num_classes=classes, **(config.arguments or {}))


def _hugging_face(config: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    transformers, name = _import_transformers(config), _rest(config)
    arguments = config.arguments or {}
    auto = transformers.AutoConfig
    if Path(name).exists() or re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):  # or it is on the hub
        settings = auto.from_pretrained(name, **arguments)
    elif name in transformers.CONFIG_MAPPING:
        settings = auto.for_model(name, **arguments)
    else:
        guess = nearest(name, transformers.CONFIG_MAPPING)
        hint = f"Did you mean hf:{guess}? " if guess else ""
        raise UserError(
            f"{name} is no folder, no config file, and no kind of network of transformers.",
            fix=f"{hint}Give a folder that holds config.json, or a name on the hub: owner/name.",
        )
    given = {"num_labels": classes, "num_channels": shape[2], "image_size": shape[:2]}
    if shape[0] == shape[1]:
        given["image_size"] = shape[0]
    for key, value in given.items():
        if (key == "num_labels" or hasattr(settings, key)) and key not in arguments:
            setattr(settings, key, value)
    return transformers.AutoModelForImageClassification.from_config(settings)


def _unknown(name: str, library: str, known: list[str]) -> UserError:
    guess = nearest(name, known)
    hint = f"Did you mean {library}:{guess}? " if guess else ""
    fix = f"{hint}It has {len(known):,} networks, such as {', '.join(known[:3])}."
    return UserError(f"{library} has no network '{name}'.", fix=fix)


def _import_timm() -> ModuleType:
    def load() -> ModuleType:
        import_torchvision("torchvision", "timm", "timm needs")  # which it could not do alone
        import timm

        return timm

    return _imported("timm", load)


def _import_torchvision(config: ModelConfig) -> ModuleType:
    return import_torchvision("torchvision.models", config.name, "its networks need")


def _import_transformers(config: ModelConfig) -> ModuleType:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with suppress(UserError):  # transformers imports torchvision where there is one
        import_torchvision("torchvision", config.name, "transformers needs")

    def load() -> ModuleType:
        import transformers

        return transformers

    return _imported("transformers", load)


def _imported(library: str, load: Callable[[], ModuleType]) -> ModuleType:
    extra = {"timm": "timm", "transformers": "hf"}[library]
    try:
        with drawn_from(0):  # importing may draw as well, and only the first one would
            return load()
    except (ImportError, UserError) as error:
        if importlib.util.find_spec(library) is not None:
            raise
        raise UserError(
            f"networks of {library} need the package {library}, which is missing.",
            fix=f"Install it: pip install 'tutelage[{extra}]'.",
        ) from error
