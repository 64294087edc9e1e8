"""What readers of data formats have in common: what was found, what is read, and failing files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import UserError


@dataclass(frozen=True)
class Options:
    """How a data set is to be read.

    `size` is the side in pixels to which images are brought, None for as they are; `fit` and
    `classes` are those of DataConfig. `known` are the class names of a well-known data set, in the
    order of its labels: folders that bear these names get these labels.
    """

    size: int | None = None
    fit: Literal["crop", "stretch"] = "crop"
    classes: Literal["top", "leaf"] = "top"
    known: tuple[str, ...] | None = None


class Part(NamedTuple):
    """Images uint8 [N, H, W, C] (C is 1 or 3) with their labels int64 [N].

    Where they are streamed, `images` are ImageFiles instead.
    """

    images: Any
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A data set in memory. `class_names` is None when its files name no classes.

    `original` is the height, width and channels of its images before they were brought to a size,
    None when they were of several heights and widths.
    """

    train: Part
    test: Part | None
    class_names: tuple[str, ...] | None
    original: tuple[int, int, int] | None


@dataclass(frozen=True, eq=False)
class Listed:
    """The files that decide what `read` returns; paths relative to `root`, with '/'."""

    root: Path
    files: tuple[str, ...]
    read: Callable[[], ImageSet]
    labelled: Mapping[str, Sequence[tuple[str, int]]] | None = None  # by split; of folders alone
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """A data set recognised at `root`, a folder or a file, in the format that `what` names.

    `list_files` looks at its files without reading them. `is_folder` tells a folder of images.
    """

    what: str
    root: Path
    list_files: Callable[[Options], Listed]
    is_folder: bool = False


class Listing(NamedTuple):
    """The names of visible files and folders in a folder, sorted."""

    files: list[str]
    folders: list[str]


def list_folder(folder: Path) -> Listing:
    """What lies in `folder`, hidden entries left out. UserError when it cannot be read."""
    with reading(folder), os.scandir(folder) as entries:
        seen = sorted((e.name, e.is_dir()) for e in entries if not e.name.startswith("."))
    return Listing([n for n, is_dir in seen if not is_dir], [n for n, is_dir in seen if is_dir])


def files_below(folder: Path) -> Iterator[Path]:
    """The visible files in a folder and in those below it, sorted folder by folder; folders that
    are links are left out. UserError when one cannot be read."""
    files, folders = list_folder(folder)
    yield from (folder / name for name in files)
    for name in folders:
        if not (folder / name).is_symlink():  # which could lead back
            yield from files_below(folder / name)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an operating system's error into a UserError: `path` cannot be read, and why."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError("there is no such file or folder.", where=str(path)) from error
    except PermissionError as error:
        raise UserError(
            "this cannot be read: permission is denied.",
            where=str(path),
            fix="Ask for the permission, or copy it to where you can read it.",
        ) from error
    except OSError as error:
        raise UserError(
            f"this cannot be read ({error.strerror or error}).", where=str(path)
        ) from error


def stamps(listed: Listed) -> list[str]:
    """What tells an edited or replaced file, for each: bytes, and the times (ns) at which its
    content and its entry changed. UserError when a file cannot be seen."""
    found = []
    for file in listed.files:
        path = os.path.join(listed.root, file)
        try:
            stat = os.stat(path)
        except OSError as error:
            with reading(Path(path)):
                raise error
        found.append(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}")
    return found


def one_shape(parts: dict[str, Part], where: dict[str, str]) -> tuple[int, int, int]:
    """Height, width and channels of the images of all splits; `where` names their places.

    UserError when a split's are not those of train.
    """
    height, width, channels = parts["train"].images.shape[1:]
    for split, part in parts.items():
        if part.images.shape[1:] != (height, width, channels):
            other = "x".join(str(side) for side in part.images.shape[1:])
            raise UserError(
                f"the images of {split} are {other}, those of train {height}x{width}x{channels}.",
                where=where[split],
                fix="All must have one height, width and number of channels.",
            )
    return height, width, channels


def join_parts(parts: dict[str, Part]) -> tuple[Part, Part | None]:
    """Train and test of the splits that a data set brings: train, perhaps test, perhaps validation.

    Without a test split, validation is the test set; with one, validation joins train, because
    every replicate draws a validation split of its own.
    """
    train, validation = parts["train"], parts.get("validation")
    if "test" not in parts or validation is None:
        return train, parts.get("test", validation)
    images = np.concatenate([train.images, validation.images])
    return Part(images, np.concatenate([train.labels, validation.labels])), parts["test"]
