"""Checkpoints: the state of an unfinished training, to be continued from.

checkpoints/<state id>.safetensors

The file holds the arrays; its metadata hold `meta` (JSON) and a checksum of both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from tutelage.store.arrays import pack, plain, unpack
from tutelage.store.documents import canonical
from tutelage.store.files import DamagedError, atomic_write, checked_name, read_checked, told

Checkpoint = tuple[dict[str, np.ndarray], dict[str, Any]]


class Checkpoints:
    """The checkpoints of one store."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "checkpoints"
        self._damaged = root / "damaged"

    def path(self, state_id: str) -> Path:
        """Where the checkpoint is, or would be."""
        return self._folder / f"{checked_name('state id', state_id)}.safetensors"

    def put(self, state_id: str, arrays: Mapping[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Store a state in place of any earlier one of the same id."""
        path, text = self.path(state_id), canonical(meta)
        metadata = {"meta": text, "sha256": _checksum(arrays, text)}
        atomic_write(path, pack(arrays, metadata))

    def get(self, state_id: str) -> Checkpoint | None:
        """The arrays and meta; None when there are none, or damaged ones that were set aside."""
        return read_checked(self.path(state_id), parse, self._damaged)

    def drop(self, state_id: str) -> None:
        """Remove a checkpoint, if it is there."""
        path = self.path(state_id)
        with told(path, "removed"):
            path.unlink(missing_ok=True)

    def paths(self) -> list[Path]:
        """The files of all checkpoints, sorted."""
        return sorted(self._folder.glob("*.safetensors"))


def parse(data: bytes) -> Checkpoint:
    """The arrays and meta written as `data`; DamagedError when they are not what was written."""
    try:
        arrays = unpack(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        text, checksum = header["__metadata__"]["meta"], header["__metadata__"]["sha256"]
    except (SafetensorError, ValueError, TypeError, KeyError):
        raise DamagedError("it is no checkpoint") from None
    if checksum != _checksum(arrays, text):
        raise DamagedError("its checksum does not match")
    return arrays, json.loads(text)


def _checksum(arrays: Mapping[str, np.ndarray], meta: str) -> str:
    """SHA-256 of the meta, then of each array's name, type, shape and bytes."""
    sha = hashlib.sha256(meta.encode())
    for name in sorted(arrays):
        array = plain(name, arrays[name])
        sha.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        sha.update(array.reshape(-1).view(np.uint8).data)
    return sha.hexdigest()
