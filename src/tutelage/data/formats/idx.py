"""idx files, as MNIST, Fashion-MNIST and KMNIST are published (yann.lecun.com/exdb/mnist).

A file starts with two zero bytes, the type (8: bytes) and the number of dimensions, then the length
of each as four bytes, the largest first, then the values. Images are N x height x width.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tutelage.data.formats.found import (
    Found,
    ImageSet,
    Listed,
    Options,
    Part,
    list_folder,
    one_shape,
    reading,
)
from tutelage.data.formats.labels import whole_labels
from tutelage.errors import UserError

# Beside the files themselves: where torchvision puts them, below its root or its own folder.
_PLACES = ("raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw")
_PARTS = {"train": "train", "test": "t10k"}
_KINDS = {"images": 3, "labels": 1}  # and the dimensions of each
_GZIP = b"\x1f\x8b"
_MOST_INFLATED = 1032  # bytes that one byte of a gzip file can become (zlib.net/zlib_tech.html)
_AGAIN = "Take the file anew."


def find(path: Path) -> list[Found]:
    """The idx files in folder `path`, or where torchvision unpacks them below it."""
    places = [path, *(path / place for place in _PLACES if (path / place).is_dir())]
    return [
        Found("idx files", place, partial(_list_files, place))
        for place in places
        if any(_spellings(place, part, kind) for part in _PARTS.values() for kind in _KINDS)
    ]


def _spellings(folder: Path, part: str, kind: str) -> list[str]:
    """The files in `folder` that may hold the images or labels of a part; unzipped ones alone
    where there are such, because unpacking often leaves both."""
    present = set(list_folder(folder).files)
    stems = [f"{part}-{kind}{joint}idx{_KINDS[kind]}-ubyte" for joint in "-."]
    plain = [stem for stem in stems if stem in present]
    return plain or [f"{stem}.gz" for stem in stems if f"{stem}.gz" in present]


def _list_files(root: Path, _: Options) -> Listed:
    files = {
        (name, kind): _spellings(root, part, kind)
        for name, part in _PARTS.items()
        for kind in _KINDS
    }
    if not files["test", "images"] and not files["test", "labels"]:
        del files["test", "images"], files["test", "labels"]
    for (name, kind), spellings in files.items():
        official = f"{_PARTS[name]}-{kind}-idx{_KINDS[kind]}-ubyte"
        if not spellings:
            raise UserError(
                "this file is missing.",
                where=str(root / official),
                fix="It may also end in .gz. Images and labels are needed both.",
            )
        if len(spellings) > 1:
            raise UserError(
                f"the {name} {kind} are here twice: {' and '.join(spellings)}.",
                where=str(root),
                fix="Remove one of them.",
            )
    names = {key: spellings[0] for key, spellings in files.items()}
    return Listed(root, tuple(names.values()), partial(_read, root, names))


def _read(root: Path, names: dict[tuple[str, str], str]) -> ImageSet:
    parts = {}
    for name in dict.fromkeys(name for name, _ in names):
        images = _read_file(root / names[name, "images"], "images")
        path = root / names[name, "labels"]
        labels = _read_file(path, "labels")
        if len(images) != len(labels):
            raise UserError(
                f"there are {len(labels)} labels for {len(images)} images.",
                where=str(path),
                fix=f"The images are those of {names[name, 'images']}; both must be of one set.",
            )
        parts[name] = Part(images[..., None], whole_labels(labels, len(labels), str(path)))
    original = one_shape(parts, {name: str(root / names[name, "images"]) for name in parts})
    return ImageSet(parts["train"], parts.get("test"), None, original)


def _read_file(path: Path, kind: str) -> NDArray[np.uint8]:
    """The bytes of an idx file, [N, H, W] for images and [N] for labels."""
    with reading(path):
        file = path.open("rb")
    try:
        with file:
            zipped = file.read(2) == _GZIP
            file.seek(0, 2)
            most = file.tell() * (_MOST_INFLATED if zipped else 1)
            file.seek(0)
            if not zipped:
                return _parse(file, _KINDS[kind], most, path)
            with gzip.open(file) as inflated:
                return _parse(inflated, _KINDS[kind], most, path)  # type: ignore[arg-type]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"this gzip file is damaged or cut off ({error}).", where=str(path), fix=_AGAIN
        ) from error
    except OSError as error:
        raise UserError(f"this cannot be read ({error}).", where=str(path)) from error


def _parse(file: BinaryIO, dimensions: int, most: int, path: Path) -> NDArray[np.uint8]:
    """The array in `file`, of which at most one byte more than its header promises is read.

    `most` is what the file can hold at all: a header that promises more is wrong.
    """
    header = file.read(4 + 4 * dimensions)
    if header[:4] != bytes((0, 0, 8, dimensions)) or len(header) < 4 + 4 * dimensions:
        raise UserError(
            f"this is no idx file of bytes in {dimensions} dimension{'s' * (dimensions > 1)}: it "
            f"starts with {header[:4].hex(' ') or 'nothing'}, not 00 00 08 {dimensions:02x}.",
            where=str(path),
            fix=_AGAIN,
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    promised = math.prod(shape)
    if not promised:
        raise UserError("this idx file is empty: a length is 0.", where=str(path), fix=_AGAIN)
    data = file.read(promised) if promised <= most else b""
    if len(data) < promised:
        raise UserError(
            f"this file is cut off: its header promises {promised} bytes of data"
            + (f", there are {len(data)}." if data else "."),
            where=str(path),
            fix=_AGAIN,
        )
    if file.read(1):
        raise UserError(
            f"this file goes on after the {promised} bytes that its header promises.",
            where=str(path),
            fix=_AGAIN,
        )
    return np.frombuffer(data, np.uint8).reshape(shape)
