"""What `clean` removes, and what it must never touch."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from tutelage.store import Record, Store

DAY = 24 * 3600


@pytest.fixture
def cluttered(store: Store, record: Record) -> Store:
    """A store with everything that belongs there, and with leftovers of every age."""
    store.put(record)
    store.put_arrays({"x": np.arange(3)})
    store.put_checkpoint("s1", {}, {"epoch": 1})
    store.cache_file("tables", "t.npy").write_bytes(b"table")
    (store.folder("damaged") / "ab.1.json").write_bytes(b"broken")
    for name, age in (("old", 2 * DAY), ("young", DAY / 2)):
        for folder in (store.root, store.root / "records" / "run" / "ab", store.root / "cache"):
            path = folder / f".{name}.tmp"
            path.write_bytes(b"half")
            then = time.time() - age
            os.utime(path, (then, then))
    return store


def names(store: Store) -> list[str]:
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if p.is_file())


def test_only_temporary_files_of_yesterday_go(cluttered: Store):
    before = names(cluttered)
    removed = cluttered.clean()
    gone = ["records/run/ab/.old.tmp", "cache/.old.tmp", ".old.tmp"]
    assert sorted(str(r.path.relative_to(cluttered.root)) for r in removed) == sorted(gone)
    assert [r.size for r in removed] == [4, 4, 4]
    assert names(cluttered) == [name for name in before if name not in gone]
    assert cluttered.clean() == []
    assert cluttered.verify() == []


def test_a_dry_run_says_the_same_and_removes_nothing(cluttered: Store):
    before = names(cluttered)
    planned = cluttered.clean(damaged=True, cache=True, dry_run=True)
    assert names(cluttered) == before
    assert cluttered.clean(damaged=True, cache=True) == planned


@pytest.mark.parametrize(
    ("option", "file"), [("damaged", "damaged/ab.1.json"), ("cache", "cache/tables/t.npy")]
)
def test_more_on_request(cluttered: Store, option: str, file: str):
    removed = cluttered.clean(**{option: True})
    assert cluttered.root / file in [item.path for item in removed]
    kept = names(cluttered)
    assert file not in kept
    assert ("damaged/ab.1.json" in kept) == (option != "damaged")
    assert ("cache/tables/t.npy" in kept) == (option != "cache")
    assert {"FORMAT", "records/run/ab/ab12cd.json", "checkpoints/s1.safetensors"} < set(kept)


def test_a_file_that_goes_meanwhile(cluttered: Store, monkeypatch: pytest.MonkeyPatch):
    unlink = Path.unlink

    def late(path: Path, missing_ok: bool = False) -> None:
        unlink(path)
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "unlink", late)
    assert cluttered.clean() == []
