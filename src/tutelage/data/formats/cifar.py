"""CIFAR-10 and CIFAR-100 as published (cs.toronto.edu/~kriz/cifar.html), binary or as pickles.

A binary record is one label byte (CIFAR-100: two, coarse and fine), then 3072 pixels: red, green
and blue planes of 32 rows of 32. A pickle is a dict with "data", uint8 [N, 3072] in the same
layout, and "labels" ("fine_labels" in CIFAR-100). Files may hold any number of images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.data.formats.found import (
    Found,
    ImageSet,
    Listed,
    Options,
    Part,
    list_folder,
    reading,
)
from tutelage.data.formats.labels import whole_labels
from tutelage.data.formats.pickles import load_plain
from tutelage.errors import UserError

_PIXELS = 3 * 32 * 32
_AGAIN = "Unpack the official archive anew."


@dataclass(frozen=True)
class _Edition:
    """One of the four forms: its folder in the official archive, its files, and how to read one."""

    what: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    classes: int
    read_part: Callable[[Path], Part]
    read_names: Callable[[Path], list[str]]


def find(path: Path) -> list[Found]:
    """The editions of which files lie in folder `path`, or in an official folder right below it."""
    places = {path: list_folder(path).files}
    for name in list_folder(path).folders:
        if name in {edition.folder for edition in _EDITIONS}:
            places[path / name] = list_folder(path / name).files
    return [
        Found(edition.what, place, partial(_list_files, edition, place))
        for place, files in places.items()
        for edition in _EDITIONS
        if {*edition.train, edition.test} & set(files)
    ]


def _list_files(edition: _Edition, root: Path, _: Options) -> Listed:
    present = set(list_folder(root).files)
    files = (*edition.train, edition.test)
    for file in files:
        if file not in present:
            raise UserError(
                f"this file of {edition.what} is missing.", where=str(root / file), fix=_AGAIN
            )
    if edition.names in present:
        files = (*files, edition.names)
    return Listed(root, files, partial(_read, edition, root, edition.names in present))


def _read(edition: _Edition, root: Path, named: bool) -> ImageSet:
    parts = [_read_part(edition, root / file) for file in edition.train]
    train = Part(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )
    names = None
    if named:
        path = root / edition.names
        names = tuple(edition.read_names(path))
        if len(names) != edition.classes:
            raise UserError(
                f"there are {len(names)} class names in this file, not {edition.classes}.",
                where=str(path),
                fix=_AGAIN,
            )
    return ImageSet(train, _read_part(edition, root / edition.test), names, (32, 32, 3))


def _read_part(edition: _Edition, path: Path) -> Part:
    part = edition.read_part(path)
    beyond = part.labels >= edition.classes
    if beyond.any():
        first = int(np.argmax(beyond))
        raise UserError(
            f"image {first} has label {part.labels[first]}; labels go from 0 to "
            f"{edition.classes - 1}.",
            where=str(path),
            fix=_AGAIN,
        )
    return part


def _binary_part(label_bytes: int, path: Path) -> Part:
    data, record = _bytes_of(path), label_bytes + _PIXELS
    if not data or len(data) % record:
        raise UserError(
            f"this file has {len(data)} bytes, which are not whole images of {record} bytes.",
            where=str(path),
            fix=f"It is cut off or no such file. {_AGAIN}",
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, record)
    labels = records[:, label_bytes - 1].astype(np.int64)  # the last is CIFAR-100's fine one
    return Part(_planes_last(records[:, label_bytes:]), labels)


def _pickled_part(key: str, path: Path) -> Part:
    content = _pickled_dict(path)
    pixels = _item(content, "data", path)
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.ndim != 2
        or pixels.shape[1] != _PIXELS
        or not len(pixels)
    ):
        raise UserError(
            f"its 'data' is not an array of bytes with {_PIXELS} columns.",
            where=str(path),
            fix=_AGAIN,
        )
    where = f"{path}, '{key}'"
    try:
        labels = np.asarray(_item(content, key, path))
    except ValueError as error:
        raise UserError("the labels are not numbers.", where=where, fix=_AGAIN) from error
    return Part(_planes_last(pixels), whole_labels(labels, len(pixels), where))


def _planes_last(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[N, 3072] in planes of colour as [N, 32, 32, 3]."""
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _names_of_text(path: Path) -> list[str]:
    lines = _bytes_of(path).decode("utf-8", errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _names_of_pickle(key: str, path: Path) -> list[str]:
    names = _item(_pickled_dict(path), key, path)
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise UserError(f"its '{key}' is not a list of names.", where=str(path), fix=_AGAIN)
    return [n.decode("utf-8", errors="replace") if isinstance(n, bytes) else n for n in names]


def _pickled_dict(path: Path) -> dict[str | bytes, Any]:
    content = load_plain(_bytes_of(path), str(path))
    if not isinstance(content, dict):
        raise UserError("this pickle holds no dict.", where=str(path), fix=_AGAIN)
    return content


def _item(content: dict[str | bytes, Any], key: str, path: Path) -> Any:
    """The item under `key`, which Python 2 wrote as bytes."""
    for spelling in (key, key.encode()):
        if spelling in content:
            return content[spelling]
    raise UserError(f"there is no '{key}' in this pickle.", where=str(path), fix=_AGAIN)


def _bytes_of(path: Path) -> bytes:
    with reading(path):
        return path.read_bytes()


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_EDITIONS = (
    _Edition(
        what="CIFAR-10 in binary form",
        folder="cifar-10-batches-bin",
        train=tuple(f"{batch}.bin" for batch in _BATCHES),
        test="test_batch.bin",
        names="batches.meta.txt",
        classes=10,
        read_part=partial(_binary_part, 1),
        read_names=_names_of_text,
    ),
    _Edition(
        what="CIFAR-100 in binary form",
        folder="cifar-100-binary",
        train=("train.bin",),
        test="test.bin",
        names="fine_label_names.txt",
        classes=100,
        read_part=partial(_binary_part, 2),
        read_names=_names_of_text,
    ),
    _Edition(
        what="CIFAR-10 in Python pickles",
        folder="cifar-10-batches-py",
        train=_BATCHES,
        test="test_batch",
        names="batches.meta",
        classes=10,
        read_part=partial(_pickled_part, "labels"),
        read_names=partial(_names_of_pickle, "label_names"),
    ),
    _Edition(
        what="CIFAR-100 in Python pickles",
        folder="cifar-100-python",
        train=("train",),
        test="test",
        names="meta",
        classes=100,
        read_part=partial(_pickled_part, "fine_labels"),
        read_names=partial(_names_of_pickle, "fine_label_names"),
    ),
)
