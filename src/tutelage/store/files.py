"""Files that are whole or absent: atomic writes, checked reads, and failures told in words."""

from __future__ import annotations

import errno
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tutelage.errors import StorageError

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_FREE_SPACE = "Free some space and run again: everything finished so far is kept."
_PERMISSION = "Ask for the permission, or choose another folder."
COMPUTED_AGAIN = "`tutelage run` computes it again where it is needed."
_TELLINGS = {
    errno.ENOSPC: ("the disk is full", _FREE_SPACE),
    errno.EDQUOT: ("the disk quota is used up", _FREE_SPACE),
    errno.EFBIG: (
        "the file would be larger than this process may write",
        "Raise the limit (`ulimit -f unlimited`), or choose another file system.",
    ),
    errno.EACCES: ("permission is denied", _PERMISSION),
    errno.EPERM: ("permission is denied", _PERMISSION),
    errno.ENOENT: ("there is no such folder", "Choose another folder."),
    errno.EROFS: ("the file system is read-only", "Choose a folder that can be written."),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "Choose another folder."),
    errno.EEXIST: ("a part of this path is a file, not a folder", "Choose another folder."),
}


class DamageWarning(UserWarning):
    """A stored file was damaged and has been set aside; it counts as missing from now on."""


class DamagedError(Exception):
    """The bytes of a stored file are not what was written. Its text says in what way."""


def checked_name(what: str, name: str) -> str:
    """`name`, which will be a part of a path. ValueError unless it is a plain file name."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{what} {name!r} is not a name of letters, digits, '.', '_' and '-'")
    return name


def is_name(name: str) -> bool:
    """Whether `name` can be the id of something stored."""
    return _NAME.fullmatch(name) is not None


@contextmanager
def told(path: Path, verb: str) -> Iterator[None]:
    """Turn an operating system's error into a StorageError: `path` cannot be <verb>, and why."""
    try:
        yield
    except OSError as error:
        why, fix = _TELLINGS.get(error.errno or 0, (error.strerror or str(error), None))
        raise StorageError(f"cannot be {verb}: {why}.", where=str(path), fix=fix) from error


def make_folder(path: Path) -> Path:
    """`path`, which is a folder from now on. StorageError when it cannot be made."""
    with told(path, "made"):
        path.mkdir(parents=True, exist_ok=True)
    return path


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` so that every reader, at any time, finds the old file or the new one.

    The bytes go to a temporary file in the same folder (made if need be), reach the disk, and take
    the name in one step. A killed process leaves at most a hidden `.<random>.tmp` behind.
    StorageError when the disk is full or writing is not permitted; the old file is then untouched.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = _temporary(path.parent)
    with told(path, "written"):
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)


def check_writable(folder: Path) -> None:
    """StorageError when no file can be made in `folder`."""
    temporary = _temporary(folder)
    with told(folder, "written"):
        temporary.touch(exist_ok=False)
        temporary.unlink()


def is_there(path: Path) -> bool:
    """Whether `path` exists. StorageError when that cannot be seen."""
    with told(path, "read"):
        return path.exists()


def read_if_there(path: Path) -> bytes | None:
    """The bytes of `path`; None when there is no such file. StorageError when it cannot be read."""
    with told(path, "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def read_checked(path: Path, parse: Callable[[bytes], T], aside: Path) -> T | None:
    """What `parse` makes of the bytes of `path`; None when the file is missing or damaged.

    A file on which `parse` raises DamagedError is moved to the folder `aside`, with a warning. In
    a store that cannot be written it stays, and counts as missing all the same.
    """
    while (data := read_if_there(path)) is not None:
        try:
            return parse(data)
        except DamagedError as error:
            try:
                moved = _set_aside(path, data, aside)
            except StorageError as refusal:
                why = f"{refusal.where} {refusal.what}"
                _warn(f"{path} is damaged ({error}) and counts as missing; it stays: {why}")
                return None
            if moved is not None:
                _warn(f"{path} is damaged ({error}); it was moved to {moved}. {COMPUTED_AGAIN}")
                return None
    return None


def warn_missing(path: Path) -> None:
    """Tell that `path`, which something stored refers to, is not there."""
    _warn(f"{path} is missing. {COMPUTED_AGAIN}")


def _warn(message: str) -> None:
    warnings.warn(message, DamageWarning, stacklevel=5)


def _set_aside(path: Path, damaged: bytes, folder: Path) -> Path | None:
    """Move `path` into `folder`; None when somebody else moved or replaced it meanwhile."""
    target = make_folder(folder) / f"{path.stem}.{os.urandom(4).hex()}{path.suffix}"
    with told(path, "set aside"):
        try:
            os.replace(path, target)
        except FileNotFoundError:
            return None
        if target.read_bytes() != damaged:  # written anew since it was read: back to its place
            os.replace(target, path)
            return None
    return target


def _temporary(folder: Path) -> Path:
    return folder / f".{os.urandom(8).hex()}.tmp"


def _sync_folder(folder: Path) -> None:
    """Make a new name in `folder` survive a power cut, where the system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
