"""The one place that imports torchvision, which is an extra."""

from __future__ import annotations

import sys
from types import ModuleType

import torch

from tutelage.errors import UserError

_OPERATORS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
              "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # fmt: skip
# Operators live as long as the library object that defined them.
_LIBRARIES: list[torch.library.Library] = []


def import_transforms() -> ModuleType:
    """`torchvision.transforms.v2`. Raises UserError where torchvision is missing or unusable.

    torchvision's wheel is built for CUDA. Beside a CPU build of PyTorch its own operators are not
    loaded, and the import then fails for want of two that are declared but not used here; they are
    declared in its place.
    """
    try:
        return _import()
    except ModuleNotFoundError as error:
        raise UserError(
            f"transforms need torchvision, and the module {error.name} is missing.",
            where="data.views.torchvision",
            fix="Install it: pip install 'tutelage[vision]'.",
        ) from error
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise _unusable(error) from error
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        library.define(operator)
    _LIBRARIES.append(library)
    try:
        return _import()
    except (ImportError, RuntimeError) as error:
        raise _unusable(error) from error


def _import() -> ModuleType:
    import torchvision.transforms.v2 as transforms

    return transforms


def _unusable(error: Exception) -> UserError:
    return UserError(
        f"torchvision cannot be imported beside PyTorch {torch.__version__} ({error}).",
        where="data.views.torchvision",
        fix="Install the torchvision that belongs to this PyTorch.",
    )
