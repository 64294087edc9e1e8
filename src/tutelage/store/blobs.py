"""Blobs: arrays under the digest of their own bytes.

blobs/<first 2 of digest>/<digest>.safetensors
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from tutelage.store.arrays import pack, unpack
from tutelage.store.files import (
    DamagedError,
    atomic_write,
    is_there,
    read_checked,
    read_if_there,
    warn_missing,
)

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """The blobs of one store."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "blobs"
        self._damaged = root / "damaged"

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be. ValueError when `digest` is none."""
        if not is_digest(digest):
            raise ValueError(f"{digest!r} is not a SHA-256 digest (64 hexadecimal digits)")
        return self._folder / digest[:2] / f"{digest}.safetensors"

    def put(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Store `arrays` and return their digest. A blob that is there and whole stays."""
        data = pack(arrays)
        digest = sha256(data)
        path = self.path(digest)
        if read_if_there(path) != data:
            atomic_write(path, data)
        return digest

    def get(self, digest: str) -> dict[str, np.ndarray] | None:
        """The arrays; None when there are none, or when the blob is damaged and was set aside."""
        data = read_checked(self.path(digest), partial(check, digest), self._damaged)
        return None if data is None else unpack(data)

    def is_whole(self, digest: str, *, expected: bool = False) -> bool:
        """Whether the blob is there and undamaged; a warning tells of a damaged one.

        With `expected` one tells of a missing one too, unless it was set aside.
        """
        path = self.path(digest)
        if expected and not is_there(path) and not any(self._damaged.glob(f"{digest}.*")):
            warn_missing(path)
        return read_checked(path, partial(check, digest), self._damaged) is not None

    def paths(self) -> list[Path]:
        """The files of all blobs, sorted."""
        return sorted(self._folder.glob("*/*.safetensors"))


def is_digest(text: object) -> bool:
    """Whether `text` is a SHA-256 digest in hexadecimal."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def check(digest: str, data: bytes) -> bytes:
    """`data`; DamagedError when it does not have the digest."""
    if sha256(data) != digest:
        raise DamagedError("its digest does not match its name")
    return data
