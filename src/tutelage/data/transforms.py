"""Views without number: transforms of torchvision, each drawn from a seed of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.config.canonical import canonical
from tutelage.data.torchvision import import_transforms
from tutelage.errors import UserError, nearest, unknown

_WHERE = "data.views.torchvision"
_MIXING = {"MixUp": "recipe.mixup", "CutMix": "recipe.cutmix"}
_TRIES = 4  # views that `check` makes of a blank image


@dataclass(frozen=True)
class TransformedViews:
    """The views that a list of torchvision.transforms.v2 makes: view v is what comes out when
    PyTorch's generator starts from v. There are too many to count.

    `spec` holds names of classes, or {name: {argument: value}}. Where an argument is `transforms`,
    it is such a list itself; `interpolation` and `policy` are the names of modes.
    """

    spec: tuple[Any, ...]

    count = None

    @property
    def name(self) -> str:
        """The name in its one form."""
        return f"torchvision:{canonical(list(self.spec))}"

    @cached_property
    def _transforms(self) -> list[Any]:
        module = import_transforms()
        return [_build(module, part, f"{_WHERE}[{i}]") for i, part in enumerate(self.spec)]

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises UserError where the transforms do not exist, fail, or do not give images of
        `shape` (height, width, channels) as uint8 back."""
        blank = torch.full((_TRIES, *shape), 128, dtype=torch.uint8)
        self.apply(blank, torch.arange(_TRIES))

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        """`n` views, int64 [n]."""
        return rng.integers(2**62, size=n)

    def apply(self, pixels: Tensor, view: Tensor) -> Tensor:
        """The view `view[b]` of image b: uint8 [B, H, W, C] of the same, made on the CPU.

        PyTorch's global generator is put back afterwards. Raises UserError as `check` does.
        """
        images = pixels.permute(0, 3, 1, 2).cpu()
        with torch.random.fork_rng(devices=[]):
            made = [
                self._one(image, seed) for image, seed in zip(images, view.tolist(), strict=True)
            ]
        return torch.stack(made).permute(0, 2, 3, 1).contiguous().to(pixels.device)

    def _one(self, image: Tensor, seed: int) -> Tensor:
        torch.default_generator.manual_seed(seed)
        made = image
        for number, transform in enumerate(self._transforms):
            try:
                made = transform(made)
            except Exception as error:  # a transform may raise anything on what does not suit it
                raise _refused(f"{type(transform).__name__} fails ({error}).", number) from error
            if not isinstance(made, Tensor) or made.dtype != torch.uint8:
                kind = made.dtype if isinstance(made, Tensor) else type(made).__name__
                raise _refused(
                    f"{type(transform).__name__} makes {kind} of the uint8 pixels.", number,
                    "Leave it out: pixels are normalised after the views.",
                )  # fmt: skip
        if made.shape != image.shape:
            raise _refused(
                f"images of {_shape(image)} become {_shape(made)}.", len(self._transforms) - 1,
                "Bring them back to their size and channels.",
            )  # fmt: skip
        return made


def _refused(what: str, number: int, fix: str | None = None) -> UserError:
    return UserError(what, where=f"{_WHERE}[{number}]", fix=fix)


def _shape(image: Tensor) -> str:
    channels, height, width = image.shape
    return f"{height}x{width} pixels and {channels} channel{'s' * (channels > 1)}"


def _build(module: Any, part: Any, where: str) -> Any:
    """The transform that `part` describes."""
    name, arguments = part, {}
    if isinstance(part, dict):
        if len(part) != 1:
            found = ", ".join(part) or "none"
            raise UserError(f"one transform is expected; found {found}.", where=where,
                            fix="Give each its own item in the list.")  # fmt: skip
        ((name, arguments),) = part.items()
    where = f"{where}.{name}"
    if name in _MIXING:
        raise UserError("mixing is no view of one image.", where=where,
                        fix=f"Use {_MIXING[name]}.")  # fmt: skip
    kind = getattr(module, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, module.Transform)) or name == "Lambda":
        guess = nearest(str(name), [n for n in dir(module) if n[0].isupper()])
        raise UserError("is no transform of torchvision.transforms.v2.", where=where,
                        fix=f"Did you mean {guess}?" if guess else None)  # fmt: skip
    if not isinstance(arguments, dict | None):
        raise UserError("its arguments are a mapping of names to values.", where=where,
                        fix=f"Write {name}: {{argument: value}}.")  # fmt: skip
    values = {k: _argument(module, k, v, where) for k, v in (arguments or {}).items()}
    try:
        return kind(**values)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise UserError(f"cannot be made: {error}.", where=where) from error


def _argument(module: Any, key: str, value: Any, where: str) -> Any:
    if key == "transforms" and isinstance(value, list):
        return [_build(module, part, f"{where}.transforms[{i}]") for i, part in enumerate(value)]
    choices = {"interpolation": "InterpolationMode", "policy": "AutoAugmentPolicy"}
    if key in choices:
        known = {choice.value: choice for choice in getattr(module, choices[key])}
        if value not in known:
            raise unknown(key, str(value), known, where=f"{where}.{key}")
        return known[value]
    return value
