"""Functions that users name: `module:function`, or `file.py:function`."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tutelage.errors import UserError, unknown

_HERE = "Run this in the folder that holds the module, or name its file: {example}."


def named_function(name: str, example: str, elsewhere: str = _HERE) -> Callable[..., Any]:
    """The function that `name` says, imported within `importable`.

    A message shows how to write one: `example` is the name of a function in a file, `elsewhere`
    what to do where there is no such module. Raises UserError for what cannot be found or called.
    """
    found: Any = named_module(name, example, elsewhere)
    path = name.rpartition(":")[2]
    for part in path.split("."):
        if not hasattr(found, part):
            public = [key for key in vars(found) if callable(getattr(found, key))]
            raise unknown("function", part, public, where=name)
        found = getattr(found, part)
    if not callable(found):
        raise UserError(f"'{path}' is {type(found).__name__} and cannot be called.", where=name)
    return found


def named_module(name: str, example: str, elsewhere: str = _HERE) -> ModuleType:
    """The module of the function that `name` says (see `named_function`). Raises UserError."""
    module_name, _, path = name.rpartition(":")
    form = f"Write my_package.{example.replace('.py:', ':')} or {example}."
    if not module_name or not all(map(str.isidentifier, path.split("."))):
        raise UserError(f"'{name}' names no function.", fix=form)
    if module_name.endswith(".py"):
        return _file(name, Path(module_name))
    if all(map(str.isidentifier, module_name.split("."))):
        return _module(name, module_name, elsewhere.format(example=example))
    raise UserError(f"'{name}' names no function.", fix=form)


def code_of(modules: Iterable[ModuleType | None]) -> list[str]:
    """Digests of the files of modules, as far as they are nobody's package: of their syntax trees,
    so that comments do not count."""
    files = {file for module in modules if module is not None for file in _own_file(module)}
    return sorted(hashlib.sha256(_tree(file).encode()).hexdigest() for file in files)


def modules_behind(module: ModuleType) -> set[ModuleType]:
    """A module and those from which it, and they in turn, have names; of packages of others no
    more than the first."""
    found, waiting = set[ModuleType](), [module]
    while waiting:
        here = waiting.pop()
        if here in found:
            continue
        found.add(here)
        if not list(_own_file(here)):
            continue
        for value in vars(here).values():
            other = value if isinstance(value, ModuleType) else _home(value)
            waiting += [other] if other is not None else []
    return found


def _home(value: Any) -> ModuleType | None:
    name = getattr(value, "__module__", None)
    return sys.modules.get(name) if isinstance(name, str) else None


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


def _module(name: str, module_name: str, elsewhere: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent and f"{module_name}.".startswith(f"{absent}."):
            what = f"there is no module '{absent}'."
            raise UserError(what, where=name, fix=elsewhere) from None
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
    said = f"importing it ended with {type(error).__name__}, '{error}'."
    return UserError(said, where=name)


@contextmanager
def importable(name: str) -> Iterator[None]:
    """Modules of the current folder, and beside a named file, can be imported."""
    before, module_name = list(sys.path), name.rpartition(":")[0]
    beside = [str(Path(module_name).parent.resolve())] if module_name.endswith(".py") else []
    sys.path[:0] = [*beside, str(Path.cwd())]
    try:
        yield
    finally:
        sys.path[:] = before
