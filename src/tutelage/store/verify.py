"""Is everything in a store as it was written?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tutelage.errors import UserError
from tutelage.store import blobs, checkpoints, records
from tutelage.store.blobs import Blobs, is_digest
from tutelage.store.checkpoints import Checkpoints
from tutelage.store.files import DamagedError, is_name, is_there, read_if_there
from tutelage.store.records import Record, Records


@dataclass(frozen=True)
class Problem:
    """A file that is not as it should be, and in what way."""

    path: Path
    what: str


def verify(root: Path) -> list[Problem]:
    """Check every record, blob and checkpoint, and that every blob a record names is there.

    Nothing is changed. Others may write meanwhile.
    """
    stored = Blobs(root)
    problems = []
    for path in Records(root).paths():
        problems += [Problem(path, what) for what in _record_problems(path, stored)]
    for path in stored.paths():
        problems += [Problem(path, what) for what in _blob_problems(path)]
    for path in Checkpoints(root).paths():
        problems += [Problem(path, what) for what in _checkpoint_problems(path)]
    return problems


def _record_problems(path: Path, stored: Blobs) -> list[str]:
    kind, id = path.parent.parent.name, path.stem
    if not is_name(id) or path.parent.name != id[:2]:
        return ["a record does not belong here."]
    data = read_if_there(path)
    if data is None:
        return []  # gone since it was listed
    try:
        record = records.parse(kind, id, data)
    except DamagedError as error:
        return [f"the record is damaged: {error}."]
    except UserError as error:
        return [error.what]
    return _blobs_missing(record, stored)


def _blobs_missing(record: Record, stored: Blobs) -> list[str]:
    named = record.result.get("blobs", {})
    if not isinstance(named, dict):
        return ["'blobs' is not {name: digest}."]
    return [
        f"the blob '{name}' ({digest}) is missing."
        for name, digest in named.items()
        if not is_digest(digest) or not is_there(stored.path(digest))
    ]


def _blob_problems(path: Path) -> list[str]:
    digest = path.stem
    if not is_digest(digest) or path.parent.name != digest[:2]:
        return ["a blob does not belong here."]
    data = read_if_there(path)
    try:
        if data is not None:
            blobs.check(digest, data)
    except DamagedError as error:
        return [f"the blob is damaged: {error}."]
    return []


def _checkpoint_problems(path: Path) -> list[str]:
    data = read_if_there(path)
    try:
        if data is not None:
            checkpoints.parse(data)
    except DamagedError as error:
        return [f"the checkpoint is damaged: {error}."]
    return []
