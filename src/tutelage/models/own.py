"""Networks that users define: functions found by `module:function` or `file.py:function`."""

from __future__ import annotations

import ast
import copy
import hashlib
import importlib
import importlib.util
import inspect
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from tutelage.errors import UserError, unknown
from tutelage.models.draws import drawn_from

_FORM = "Write my_package.nets:small or nets.py:small."


def build_own(
    name: str, arguments: Mapping[str, Any], shape: tuple[int, int, int], classes: int
) -> nn.Module:
    """The network that the function `name` gives for images of `shape` (H, W, C).

    It is called with `arguments`, and with those of `num_classes`, `in_channels` and `image_size`
    (height, width) that it takes. Raises UserError for what cannot be found or called, and where no
    network comes back.
    """
    with _importable(name):
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
    with _importable(name):
        modules = {inspect.getmodule(_found(name))}
    modules |= {sys.modules.get(type(part).__module__) for part in network.modules()}
    files = {file for module in modules if module is not None for file in _own_file(module)}
    return sorted(hashlib.sha256(_tree(file).encode()).hexdigest() for file in files)


def _own_file(module: ModuleType) -> Iterator[Path]:
    path = getattr(module, "__file__", None)
    root = module.__name__.partition(".")[0]
    if path is None or root in ("tutelage", "torch", "builtins"):
        return
    file = Path(path).resolve()
    foreign = {Path(folder).resolve() for folder in (*sysconfig.get_paths().values(),
               *site.getsitepackages())}  # fmt: skip
    if file.suffix == ".py" and not any(folder in file.parents for folder in foreign):
        yield file


def _tree(file: Path) -> str:
    try:
        return ast.dump(ast.parse(file.read_text(encoding="utf-8")))
    except (OSError, SyntaxError, UnicodeDecodeError, RecursionError):
        return str(file)  # it was imported all the same; its name has to do


def _found(name: str) -> Callable[..., Any]:
    """The function that `name` says; what an import draws changes no state of a generator."""
    with drawn_from(0):
        return _imported(name)


def _imported(name: str) -> Callable[..., Any]:
    module_name, _, path = name.rpartition(":")
    if not module_name or not all(map(str.isidentifier, path.split("."))):
        raise UserError(f"'{name}' names no function.", fix=_FORM)
    found: Any = _file(name, Path(module_name)) if module_name.endswith(".py") else _module(
        name, module_name)  # fmt: skip
    for part in path.split("."):
        if not hasattr(found, part):
            public = [key for key, value in vars(found).items() if callable(value)]
            raise unknown("function", part, public, where=name)
        found = getattr(found, part)
    if not callable(found):
        raise UserError(f"'{path}' is {type(found).__name__} and cannot be called.", where=name)
    return found


def _module(name: str, module_name: str) -> ModuleType:
    if not all(map(str.isidentifier, module_name.split("."))):
        raise UserError(f"'{name}' names no function.", fix=_FORM)
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent and f"{module_name}.".startswith(f"{absent}."):
            fix = "Networks of libraries are timm:, torchvision: and hf:; for your own, run this in"
            fix += " the folder that holds the module, or name its file: nets.py:small."
            raise UserError(f"there is no module '{absent}'.", where=name, fix=fix) from None
        raise _failed(name, error) from error


def _file(name: str, path: Path) -> ModuleType:
    try:
        data = path.read_bytes()
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror}."
        raise UserError(what, where=name, fix="Name the file as seen from here.") from None
    known = f"_own_{hashlib.sha256(str(path.resolve()).encode() + data).hexdigest()[:16]}"
    if known in sys.modules:
        return sys.modules[known]
    spec = importlib.util.spec_from_file_location(known, path)
    assert spec is not None and spec.loader is not None, "it ends in .py"  # noqa: PT018
    sys.modules[known] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[known]
        raise _failed(name, error) from error
    return module


def _failed(name: str, error: BaseException) -> UserError:
    said = f"importing it ended with {type(error).__name__}: {error}."
    return UserError(said, where=name)


@contextmanager
def _importable(name: str) -> Iterator[None]:
    """Modules of the current folder, and beside a named file, can be imported."""
    before, module_name = list(sys.path), name.rpartition(":")[0]
    beside = [str(Path(module_name).parent.resolve())] if module_name.endswith(".py") else []
    sys.path[:0] = [*beside, str(Path.cwd())]
    try:
        yield
    finally:
        sys.path[:] = before
