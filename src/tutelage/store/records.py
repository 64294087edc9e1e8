"""Records: small JSON files that say what came out, where it came from, and how long it took.

    records/<kind>/<first 2 of id>/<id>.json
    {"id", "kind", "provenance", "result", "result_sha256", "sha256", "timing"}

`result_sha256` is of the canonical `result` alone, by which two stores are compared; `sha256` is
of everything else in the file, by which damage is noticed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tutelage.errors import UserError
from tutelage.store.documents import canonical, sha256
from tutelage.store.files import (
    DamagedError,
    atomic_write,
    checked_name,
    is_name,
    read_checked,
)

_KEYS = {"id", "kind", "provenance", "result", "result_sha256", "timing"}


@dataclass(frozen=True)
class Record:
    """What is known of one piece of work, under (kind, id).

    `result` is deterministic and all that comparisons use; `provenance` says who computed it and
    with what versions; `timing` is in seconds. `result["blobs"]`, where present, names the stored
    arrays that belong to the record: {name: digest}.
    """

    kind: str
    id: str
    result: dict[str, Any]
    provenance: dict[str, Any]
    timing: dict[str, Any]


class Records:
    """The records of one store."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "records"
        self._damaged = root / "damaged"

    def path(self, kind: str, id: str) -> Path:
        """Where the record is, or would be."""
        kind, id = checked_name("kind", kind), checked_name("id", id)
        return self._folder / kind / id[:2] / f"{id}.json"

    def put(self, record: Record) -> None:
        """Store `record` in place of any earlier one of the same kind and id."""
        path = self.path(record.kind, record.id)
        document = dict(vars(record))
        canonical(document)  # names the key of what cannot be stored
        document["result_sha256"] = sha256(canonical(record.result))
        document["sha256"] = sha256(canonical(document))
        atomic_write(path, canonical(document).encode() + b"\n")

    def get(self, kind: str, id: str) -> Record | None:
        """The record; None when there is none, or when it is damaged and was set aside."""
        return read_checked(self.path(kind, id), partial(parse, kind, id), self._damaged)

    def ids(self, kind: str) -> list[str]:
        """The ids of all records of a kind, sorted."""
        files = (self._folder / checked_name("kind", kind)).glob("*/*.json")
        return sorted(path.stem for path in files if is_name(path.stem))

    def paths(self) -> list[Path]:
        """The files of all records, sorted."""
        return sorted(self._folder.glob("*/*/*.json"))


def parse(kind: str, id: str, data: bytes) -> Record:
    """The record that was written as `data`.

    DamagedError when it is not what was written; UserError when another version wrote it.
    """
    try:
        document = json.loads(data)
        checksum = document.pop("sha256")
        whole = checksum == sha256(canonical(document))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise DamagedError("it is no record") from None
    if not whole:
        raise DamagedError("its checksum does not match")
    if set(document) != _KEYS:
        raise UserError(
            "this record was written by another version of tutelage.",
            where=f"records/{kind}/{id[:2]}/{id}.json",
            fix="Install a newer tutelage, or choose another store.",
        )
    if (document["kind"], document["id"]) != (kind, id):
        raise DamagedError(f"it is the record {document['kind']} {document['id']}")
    del document["result_sha256"]
    return Record(**document)
