"""The one place that imports torchvision, which is an extra."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

from tutelage.errors import UserError

_OPERATORS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
              "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # fmt: skip
_TRANSFORMS = "data.views.torchvision"
# Operators live as long as the library object that defined them.
_LIBRARIES: list[torch.library.Library] = []


def import_transforms() -> ModuleType:
    """`torchvision.transforms.v2`. Raises UserError where torchvision is missing or unusable."""
    return import_torchvision("torchvision.transforms.v2", _TRANSFORMS, "transforms need")


def import_torchvision(name: str, where: str, who: str) -> ModuleType:
    """The module `name` of torchvision. Raises UserError, with the key `where` and beginning with
    `who`, where torchvision is missing or unusable.

    torchvision's wheel is built for CUDA. Beside a CPU build of PyTorch its own operators are not
    loaded, and the import then fails for want of two that are declared but not used here; they are
    declared in its place.
    """
    try:
        import torchvision

        return importlib.import_module(name, torchvision.__name__)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{who} torchvision, and the module {error.name} is missing.",
            where=where,
            fix="Install it: pip install 'tutelage[vision]'.",
        ) from error
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise _unusable(error, where) from error
    for half in [each for each in sys.modules if each.partition(".")[0] == "torchvision"]:
        del sys.modules[half]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        library.define(operator)
    _LIBRARIES.append(library)
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        raise _unusable(error, where) from error


def _unusable(error: Exception, where: str) -> UserError:
    return UserError(
        f"torchvision cannot be imported beside PyTorch {torch.__version__} ({error}).",
        where=where,
        fix="Install the torchvision that belongs to this PyTorch.",
    )
