"""Networks that users define: functions found by `module:function` or `file.py:function`."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from tutelage.errors import UserError
from tutelage.functions import code_of, importable, named_function
from tutelage.models.draws import drawn_from

_EXAMPLE = "nets.py:small"
_ELSEWHERE = (
    "Networks of libraries are timm:, torchvision: and hf:; for your own, run this in the folder "
    "that holds the module, or name its file: {example}."
)


def build_own(
    name: str, arguments: Mapping[str, Any], shape: tuple[int, int, int], classes: int
) -> nn.Module:
    """The network that the function `name` gives for images of `shape` (H, W, C).

    It is called with `arguments`, and with those of `num_classes`, `in_channels` and `image_size`
    (height, width) that it takes. Raises UserError for what cannot be found or called, and where no
    network comes back.
    """
    with importable(name):
        function = _found(name)
        offered = {"num_classes": classes, "in_channels": shape[2], "image_size": shape[:2]}
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError:
            parameters = ()
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
        named = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
        given = {key: value for key, value in offered.items() if takes_all or key in named}
        network = function(**(given | dict(arguments)))
    if not isinstance(network, nn.Module):
        raise UserError(
            f"'{name}' gave {type(network).__name__}, not a torch.nn.Module.",
            fix="Return the network, or name the class of it.",
        )
    return copy.deepcopy(network)  # which it may give again, to be trained once more


def own_code(name: str, network: nn.Module) -> list[str]:
    """Digests of the files that define the function `name` and the parts of its `network`, as far
    as they are nobody's package: of their syntax trees, so that comments do not count."""
    with importable(name):
        modules = {inspect.getmodule(_found(name))}
    modules |= {sys.modules.get(type(part).__module__) for part in network.modules()}
    return code_of(modules)


def _found(name: str) -> Callable[..., Any]:
    """The function that `name` says; what an import draws changes no state of a generator."""
    with drawn_from(0):
        return named_function(name, _EXAMPLE, _ELSEWHERE)
