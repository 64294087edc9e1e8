"""The store: a folder that keeps all that was computed, so that nothing is computed twice.

    FORMAT                                  the version of this layout
    records/<kind>/<2>/<id>.json            what came out, checksummed
    blobs/<2>/<digest>.safetensors          arrays, named by their content
    checkpoints/<state id>.safetensors      unfinished trainings
    leases/                                 who works on what
    cache/<kind>/                           derived data; may be deleted at any time
    studies/, reports/                      manifests, and what was written for people
    damaged/                                files that were found damaged

Any number of threads and processes may read and write at once, and be killed at any time. Every
write is atomic. A StorageError names the path that cannot be read or written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.errors import UserError
from tutelage.store import leases
from tutelage.store.blobs import Blobs
from tutelage.store.checkpoints import Checkpoint, Checkpoints
from tutelage.store.clean import Removed, clean
from tutelage.store.files import (
    atomic_write,
    check_writable,
    checked_name,
    is_there,
    make_folder,
    read_if_there,
)
from tutelage.store.merge import Merged, merge
from tutelage.store.records import Record, Records
from tutelage.store.verify import Problem, verify

FORMAT = 1


class Store:
    """A store, opened with `Store.open`. It holds nothing but its path, so it can be pickled.

    Kinds, ids, keys and names are letters, digits, '.', '_' and '-', at most 200 of them;
    ValueError otherwise.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._records = Records(root)
        self._blobs = Blobs(root)
        self._checkpoints = Checkpoints(root)

    @classmethod
    def open(cls, path: str | Path, create: bool = True) -> Store:
        """The store at `path`, made when it is missing and `create` says so.

        UserError when it is missing otherwise, is a file, or was written by a newer version; with
        `create` also when it cannot be written, without it such a store can still be read.
        """
        root = Path(path).absolute()
        marker = root / "FORMAT"
        if os.path.isfile(root):  # unlike Path.is_file, False where it may not look
            raise UserError(
                "this is a file; a store is a folder.",
                where=str(root),
                fix="Name a folder, or a path where one can be made.",
            )
        data = read_if_there(marker)
        if data is not None:
            _check_format(marker, data)
            if create:
                check_writable(root)
        elif create:
            atomic_write(marker, json.dumps({"format": FORMAT}).encode() + b"\n")
        else:
            raise UserError(
                "there is no store here.",
                where=str(root),
                fix="Name the folder of a store, or run a study first.",
            )
        return cls(root)

    def put(self, record: Record) -> None:
        """Store `record` in place of any earlier one of its kind and id.

        ValueError or TypeError, naming the key, when it is no plain JSON or has a number that is
        not finite.
        """
        self._records.put(record)

    def get(self, kind: str, id: str) -> Record | None:
        """The record; None when there is none. A damaged one is set aside, with a warning."""
        return self._records.get(kind, id)

    def has(self, kind: str, id: str) -> bool:
        """Whether there is such a record, damaged or not."""
        return is_there(self._records.path(kind, id))

    def ids(self, kind: str) -> list[str]:
        """The ids of all records of a kind, sorted."""
        return self._records.ids(kind)

    def find(self, kind: str, prefix: str) -> list[str]:
        """The ids of a kind that begin with `prefix` (any text), sorted."""
        return [id for id in self.ids(kind) if id.startswith(prefix)]

    def put_arrays(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Store arrays and return their digest: SHA-256 of their safetensors file, in hex.

        Equal arrays have one digest and are stored once. TypeError for a type that cannot be
        stored: only bool, integers, and floats of 16, 32 and 64 bits can.
        """
        return self._blobs.put(arrays)

    def get_arrays(self, digest: str) -> dict[str, np.ndarray] | None:
        """The arrays by name; None when there are none. Damaged ones are set aside, warned of."""
        return self._blobs.get(digest)

    def has_arrays(self, digest: str) -> bool:
        """Whether there are such arrays, damaged or not."""
        return is_there(self._blobs.path(digest))

    def is_whole(self, digest: str, *, expected: bool = False) -> bool:
        """Whether there are such arrays, undamaged; all of their bytes are read.

        A damaged one is set aside, with a warning; with `expected` a missing one is warned of too.
        """
        return self._blobs.is_whole(digest, expected=expected)

    def put_checkpoint(
        self, state_id: str, arrays: Mapping[str, np.ndarray], meta: dict[str, Any]
    ) -> None:
        """Store the state of a training, `meta` being plain JSON, in place of any earlier one."""
        self._checkpoints.put(state_id, arrays, meta)

    def get_checkpoint(self, state_id: str) -> Checkpoint | None:
        """(arrays, meta); None when there is none. A damaged one is set aside, with a warning."""
        return self._checkpoints.get(state_id)

    def has_checkpoint(self, state_id: str) -> bool:
        """Whether there is such a checkpoint, damaged or not."""
        return is_there(self._checkpoints.path(state_id))

    def drop_checkpoint(self, state_id: str) -> None:
        """Remove a checkpoint, if it is there."""
        self._checkpoints.drop(state_id)

    def lease(self, name: str) -> AbstractContextManager[bool]:
        """`with store.lease(name) as held:` holds it if it is free; `held` is False otherwise.

        It ends with the `with`, or with the process.
        """
        return leases.hold(self._lock_path(name), wait=False)

    def lock(self, name: str) -> AbstractContextManager[bool]:
        """As `lease`, of the same names, but waits until it is free. Not re-entrant."""
        return leases.hold(self._lock_path(name), wait=True)

    def cache_file(self, kind: str, key: str) -> Path:
        """Where derived data of this key belong. The folder exists; the file may not."""
        name = checked_name("cache key", key)
        return make_folder(self.root / "cache" / checked_name("cache kind", kind)) / name

    def folder(self, name: str) -> Path:
        """A folder of the store by name, such as studies or reports. It exists."""
        return make_folder(self.root / checked_name("folder", name))

    def verify(self) -> list[Problem]:
        """All that is damaged, misplaced or missing. Nothing is changed."""
        return verify(self.root)

    def merge(self, other: Store) -> Merged:
        """Copy what `other` has and this one lacks. See `tutelage.store.merge`.

        UserError when both are the same folder.
        """
        if self.root.resolve() == other.root.resolve():
            raise UserError(
                "this is the store itself.", where=str(other.root), fix="Name another store."
            )
        return merge(self.root, other.root)

    def clean(
        self, *, damaged: bool = False, cache: bool = False, dry_run: bool = False
    ) -> list[Removed]:
        """Remove stale temporary files, and on request what was set aside or derived.

        With `dry_run` only say what would go. See `tutelage.store.clean`.
        """
        return clean(self.root, damaged=damaged, cache=cache, dry_run=dry_run)

    def _lock_path(self, name: str) -> Path:
        return self.root / "leases" / f"{checked_name('lease', name)}.lock"


def _check_format(marker: Path, data: bytes) -> None:
    try:
        found = json.loads(data)["format"]
    except (ValueError, TypeError, KeyError):
        found = None
    if not isinstance(found, int) or found < 1:
        raise UserError(
            "this does not say what format the store has.",
            where=str(marker),
            fix=f'If the folder is a store of this version, write {{"format": {FORMAT}}} there.',
        )
    if found > FORMAT:
        raise UserError(
            f"the store has format {found}; this version of tutelage knows format {FORMAT}.",
            where=str(marker),
            fix="Install a newer tutelage, or choose another store.",
        )
