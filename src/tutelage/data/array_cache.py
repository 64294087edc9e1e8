"""A data set kept as .npy files, which processes share by mapping them into memory.

A JSON file with the SHA-256 of every .npy file is written last: without it, or when a file is not
the one it describes, nothing was kept and the data set is read anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from io import BufferedRandom, BufferedReader
from pathlib import Path

import numpy as np

from tutelage.data.atomic_file import atomic_file
from tutelage.data.formats import ImageSet, Part
from tutelage.errors import UserError
from tutelage.store import atomic_write

# (kind, key) -> a file for derived data, in a folder that exists; the file may not exist.
Cache = Callable[[str, str], Path]
_ARRAYS = ("train-images", "train-labels", "test-images", "test-labels")


def cached(cache: Cache, key: str, make: Callable[[], ImageSet]) -> ImageSet:
    """What `make` returns, memory-mapped: kept under `key`, and made anew only when it is not.

    StorageError when it cannot be kept.
    """
    kept = _load(cache, key)
    if kept is None:
        _save(cache, key, make())
        kept = _load(cache, key)
    if kept is None:
        raise UserError(
            "the images that were just kept cannot be read again.",
            where=str(_index(cache, key).parent),
            fix="Check that disk, or use another store.",
        )
    return kept


def _index(cache: Cache, key: str) -> Path:
    return cache("images", f"{key}.json")


def _array(cache: Cache, key: str, name: str) -> Path:
    return cache("images", f"{key}.{name}.npy")


def _load(cache: Cache, key: str) -> ImageSet | None:
    """What was kept under `key`; None when a file is absent or not what was written."""
    try:
        index = json.loads(_index(cache, key).read_bytes())
        arrays = {}
        for name, sha256 in index["arrays"].items():
            path = _array(cache, key, name)
            with path.open("rb") as file:
                if _sha256(file) != sha256:
                    return None
            arrays[name] = np.load(path, mmap_mode="r")
        names, original = index["class_names"], index["original"]
        test = "test-images" in arrays
        return ImageSet(
            Part(arrays["train-images"], arrays["train-labels"]),
            Part(arrays["test-images"], arrays["test-labels"]) if test else None,
            None if names is None else tuple(names),
            None if original is None else tuple(original),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _save(cache: Cache, key: str, data: ImageSet) -> None:
    parts = [array for part in (data.train, data.test) if part is not None for array in part]
    arrays = dict(zip(_ARRAYS, parts, strict=False))  # without a test set, the first two
    index = {
        "class_names": data.class_names,
        "original": data.original,
        "arrays": {name: _write(_array(cache, key, name), arrays[name]) for name in arrays},
    }
    atomic_write(_index(cache, key), json.dumps(index).encode())


def _write(path: Path, array: np.ndarray) -> str:
    """Write `array` to `path`; returns the SHA-256 of the file."""
    with atomic_file(path) as file:
        np.save(file, array)
        return _sha256(file)


def _sha256(file: BufferedReader | BufferedRandom) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()
