"""Weights from outside: read without executing anything, and fitted to a network."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from tutelage.errors import UserError

_NESTED = ("state_dict", "model_state_dict", "model", "net", "student")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, and of torch.compile
_COUNTERS = "num_batches_tracked"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a state_dict that PyTorch saved, by name.

    The state_dict may lie in a dictionary, under `state_dict` or `model`. A file of PyTorch is read
    with `weights_only`: what holds more than tensors and plain values is refused, and nothing in it
    is executed. Raises UserError.
    """
    path, where = Path(path), str(path)
    try:
        with path.open("rb") as file:
            if path.suffix == ".safetensors":
                return load_safetensors(file.read())
            found = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}.", where=where) from None
    except SafetensorError as error:
        raise UserError(f"is no whole safetensors file: {error}.", where=where) from None
    except pickle.UnpicklingError:
        raise UserError(
            "holds more than weights, or is no file of PyTorch; nothing of it was executed.",
            where=where,
            fix="Save the weights alone: torch.save(model.state_dict(), FILE), or as safetensors.",
        ) from None
    except Exception as error:  # a damaged file fails in any way
        said = f"cannot be read as weights: {type(error).__name__}."
        fix = "Save them as safetensors, or with torch.save(model.state_dict(), FILE)."
        raise UserError(said, where=where, fix=fix) from None
    return _state_dict(found, where)


def _state_dict(found: Any, where: str) -> dict[str, Tensor]:
    for key in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping) or not found:
        raise UserError(f"holds a {type(found).__name__}, no weights by name.", where=where)
    other = [str(key) for key, value in found.items()
             if not (isinstance(key, str) and isinstance(value, Tensor))]  # fmt: skip
    if other:
        fix = "Save the weights alone: torch.save(model.state_dict(), FILE)."
        raise UserError(f"has things beside tensors: {_few(other)}.", where=where, fix=fix)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return dict(found)


def fit_weights(
    state: Mapping[str, Tensor], build: Callable[[int], nn.Module], classes: int, *,
    replace_head: bool, where: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """`state` as the arrays to load into the network that `build` gives for so many classes.

    The head is what has another shape with another number of classes. With `replace_head` it is
    left out, and so keeps what it was built with. Raises UserError for a head of another number of
    classes (without that), and for names and shapes that are not those of the network.
    """
    own, other = build(classes).state_dict(), build(classes + 1).state_dict()
    head = {name for name, value in own.items() if value.shape != other[name].shape}
    if replace_head and not head:
        raise UserError("its head does not depend on the number of classes.", where=where,
                        fix="Leave `head: replace` out.")  # fmt: skip
    wanted = {name: value for name, value in own.items() if not (replace_head and name in head)}
    # In the network's order: a file has none.
    given = {name: state[name] for name in wanted if name in state}
    missing = [name for name in wanted if name not in given and not name.endswith(_COUNTERS)]
    strange = [name for name in state if name not in own]
    if missing or strange:
        said = [f"has no {_few(missing)}"] if missing else []
        said += [f"has {_few(strange)}, which the network does not"] if strange else []
        raise UserError(f"{', and '.join(said)}.", where=where,
                        fix="Name the network that these are the weights of.")  # fmt: skip
    # A head that is not that of the study is told as one only where the rest fits.
    for name in sorted((name for name in wanted if name in given), key=head.__contains__):
        _check_shape(name, given[name], wanted[name], name in head, where)
    return {
        name: np.ascontiguousarray(value.detach().to(wanted[name].dtype).numpy())
        for name, value in given.items()
    }


def load_some(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Loads the weights that are there; the others, those of a new head, stay as they are."""
    state = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    model.load_state_dict(model.state_dict() | state)


def _check_shape(name: str, value: Tensor, wanted: Tensor, in_head: bool, where: str) -> None:
    found, needed = list(value.shape), list(wanted.shape)
    if in_head and found[1:] == needed[1:] and len(found) == len(needed) and found != needed:
        raise UserError(
            f"has a head of {found[0]} classes, and {needed[0]} are wanted ({name}).",
            where=where,
            fix="Say `head: replace` to train a new one, or give class_order.",
        )
    if found != needed:
        raise UserError(f"{name} is {found}, and the network's {needed}.", where=where,
                        fix="Name the network that these are the weights of.")  # fmt: skip
    if value.is_floating_point() and not value.isfinite().all():
        raise UserError(f"{name} has numbers that are not finite.", where=where)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
