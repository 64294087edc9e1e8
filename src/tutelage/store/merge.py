"""Bringing what another store holds into ours, as when a study was run on two machines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tutelage.errors import UserError
from tutelage.store import blobs, records
from tutelage.store.blobs import Blobs, is_digest
from tutelage.store.files import DamagedError, atomic_write, is_there, read_if_there
from tutelage.store.records import Record, Records
from tutelage.store.verify import Problem


@dataclass(frozen=True)
class Merged:
    """What a merge did: numbers of records, blobs and studies that were taken over; records whose
    result differs from ours, which stay as they are here; and files of the other store that are
    damaged or incomplete, and were left out."""

    records: int
    blobs: int
    studies: int
    differing: list[Path]
    problems: list[Problem]


def merge(ours: Path, theirs: Path) -> Merged:
    """Copy all records of the store at `theirs` that the one at `ours` lacks, with what they name.

    A record is copied after its blobs, so that whoever reads meanwhile misses nothing. Unfinished
    trainings and derived data stay behind. Where both stores have a record and its results differ,
    as they may from another kind of processor, ours is kept. The same merge again copies nothing.
    Both may be in use.
    """
    mine, other = Blobs(ours), Blobs(theirs)
    taken = copied = 0
    differing, problems = [], []
    for path in Records(theirs).paths():
        kind, id = path.parent.parent.name, path.stem
        try:
            record, data = _read(path, kind, id)
            here = Records(ours).get(kind, id)
            if here is not None:
                differing += [path] if here.result != record.result else []
                continue
            copied += _take_blobs(record, other, mine)
        except DamagedError as error:
            problems.append(Problem(path, f"left out: {error}."))
            continue
        except UserError as error:
            problems.append(Problem(path, f"left out: {error.what}"))
            continue
        atomic_write(Records(ours).path(kind, id), data)
        taken += 1
    return Merged(taken, copied, _take_studies(ours, theirs), differing, problems)


def _read(path: Path, kind: str, id: str) -> tuple[Record, bytes]:
    data = read_if_there(path)
    if data is None:
        raise DamagedError("it is gone")
    return records.parse(kind, id, data), data


def _take_blobs(record: Record, theirs: Blobs, ours: Blobs) -> int:
    """Copy what the record names and we lack. DamagedError where it is not there whole."""
    named = record.result.get("blobs", {})
    taken = 0
    for name, digest in named.items() if isinstance(named, dict) else ():
        if not is_digest(digest):
            raise DamagedError(f"'{name}' names no arrays")
        if is_there(ours.path(digest)):
            continue
        data = read_if_there(theirs.path(digest))
        if data is None:
            raise DamagedError(f"its arrays '{name}' ({digest[:12]}) are missing")
        blobs.check(digest, data)
        atomic_write(ours.path(digest), data)
        taken += 1
    return taken


def _take_studies(ours: Path, theirs: Path) -> int:
    """Copy the manifests that we lack; whoever reads one checks it."""
    taken = 0
    for path in sorted((theirs / "studies").glob("*.json")):
        target, data = ours / "studies" / path.name, read_if_there(path)
        if data is not None and not is_there(target):
            atomic_write(target, data)
            taken += 1
    return taken
