"""Image folders that are streamed: looked through once, and then decoded image by image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.config.canonical import digest
from tutelage.data.array_cache import Cache
from tutelage.data.formats import ImageSet, Listed, Options, Part, stamps
from tutelage.data.formats.found import reading
from tutelage.data.formats.labels import check_classes
from tutelage.data.formats.pixels import in_threads
from tutelage.data.image_files import ImageFiles, check_image
from tutelage.errors import UserError
from tutelage.store import atomic_write, read_if_there

_PIECE = 4096  # files that are looked through, and kept, together
_WIDTH = 16  # bytes of a file's digest (BLAKE2b)


def open_streamed(listed: Listed, options: Options, cache: Cache, where: str) -> ImageSet:
    """The images of a folder as `ImageFiles`, train and test each ordered by label, then by what
    is in the files: the same images are the same data set, whatever their names.

    The first time, every file is read to its end; what was found is kept, piece by piece, so that
    a pass that was cut off goes on, and only files that have changed are read again. UserError
    naming the file for a damaged image, and as `check_classes` says.
    """
    folders = listed.labelled
    if folders is None or options.size is None:
        raise UserError(
            "only a folder of images can be streamed.", where=where, fix="Remove data.streamed."
        )
    names = np.array([os.fsencode(file) for file in listed.files])
    digests = _look_through(listed, cache)
    files = ImageFiles(listed.root, names, digests, np.arange(len(names)), options.size)
    labels = {
        split: np.array([label for _, label in own], np.int64) for split, own in folders.items()
    }
    parts, start = dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]](), 0
    for split, own in labels.items():
        parts[split] = np.arange(start, start + len(own)), own
        start += len(own)
    train, test = _joined(parts)
    data = ImageSet(
        _part(files, *train), None if test is None else _part(files, *test),
        listed.class_names, None,
    )  # fmt: skip
    check_classes(data, where)
    return data


def _joined(parts: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]):
    """Train and test, by the rule of `join_parts`."""
    train, validation, test = (parts.get(name) for name in ("train", "validation", "test"))
    assert train is not None, "every folder of images has training images"
    if test is None or validation is None:
        return train, test or validation
    return tuple(np.concatenate(pair) for pair in zip(train, validation, strict=True)), test


def _part(files: ImageFiles, places: NDArray[np.int64], labels: NDArray[np.int64]) -> Part:
    keys = files.digests[places].view(">u8")
    order = np.lexsort((keys[:, 1], keys[:, 0], labels))
    return Part(files.take(places[order]), labels[order])


def _look_through(listed: Listed, cache: Cache) -> NDArray[np.uint8]:
    """The digest of every file, uint8 [M, 16]; each is decoded once, to find damaged ones."""
    digests = np.empty((len(listed.files), _WIDTH), np.uint8)
    marks = stamps(listed)
    for start in range(0, len(digests), _PIECE):
        part = slice(start, start + _PIECE)
        files = listed.files[part]
        path = cache("files", f"{digest(['files', files, marks[part]])}.digests")
        kept = _kept(path, len(files))
        if kept is None:
            kept = _read_through(listed.root, files)
            atomic_write(path, kept.tobytes() + _checksum(kept.tobytes()))
        digests[part] = kept
    return digests


def _kept(path: Path, count: int) -> NDArray[np.uint8] | None:
    """What an earlier pass kept; None when it is missing or damaged."""
    whole = read_if_there(path) or b""
    data, checksum = whole[: count * _WIDTH], whole[count * _WIDTH :]
    if len(data) < count * _WIDTH or checksum != _checksum(data):
        return None
    return np.frombuffer(data, np.uint8).reshape(count, _WIDTH)


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _read_through(root: Path, files: Sequence[str]) -> NDArray[np.uint8]:
    found = np.empty((len(files), _WIDTH), np.uint8)

    def look(place: int) -> None:
        path = root / files[place]
        with reading(path), path.open("rb") as file:
            hashed = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_WIDTH))
        check_image(path)
        found[place] = np.frombuffer(hashed.digest(), np.uint8)

    in_threads(look, range(len(files)))
    return found
