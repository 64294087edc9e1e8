"""`verify` finds what is damaged, misplaced or missing, and changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tutelage.store import Problem, Record, Store

Flip = Callable[[Path], None]


@pytest.fixture
def full(store: Store, record: Record, arrays: dict[str, np.ndarray]) -> Store:
    """A store with a record that names two blobs, a record without, and a checkpoint."""
    blobs = {"val": store.put_arrays(arrays), "test": store.put_arrays({"x": np.ones(3)})}
    store.put(dataclasses.replace(record, result={"blobs": blobs}))
    store.put(dataclasses.replace(record, id="ff00"))
    store.put_checkpoint("s1", arrays, {"epoch": 3})
    return store


def only(store: Store, pattern: str) -> Path:
    return sorted(store.root.glob(pattern))[0]


def snapshot(store: Store) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}


def test_a_whole_store_has_no_problems(full: Store):
    (full.root / "records" / "run" / "ab" / ".0.tmp").write_bytes(b"left by a killed process")
    before = snapshot(full)
    assert full.verify() == []
    assert snapshot(full) == before


def test_an_empty_store_has_no_problems(store: Store):
    assert store.verify() == []


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("records/run/ff/ff00.json", "the record is damaged"),
        ("blobs/*/*.safetensors", "the blob is damaged"),
        ("checkpoints/s1.safetensors", "the checkpoint is damaged"),
    ],
)
def test_a_flipped_bit_is_found_and_left_alone(full: Store, flip: Flip, pattern: str, what: str):
    path = only(full, pattern)
    flip(path)
    before = snapshot(full)
    (problem,) = full.verify()
    assert problem.path == path
    assert what in problem.what
    assert snapshot(full) == before


def test_a_missing_blob_is_found_at_the_record_that_names_it(full: Store):
    record = full.get("run", "ab12cd")
    assert record is not None
    digest = record.result["blobs"]["test"]
    only(full, f"blobs/*/{digest}.safetensors").unlink()
    path = full.root / "records" / "run" / "ab" / "ab12cd.json"
    assert full.verify() == [Problem(path, f"the blob 'test' ({digest}) is missing.")]


@pytest.mark.parametrize("blobs", [{"x": "../../secret"}, {"x": 3}, ["x"], None])
def test_blobs_that_are_none(store: Store, record: Record, blobs: object):
    store.put(dataclasses.replace(record, result={"blobs": blobs}))
    (problem,) = store.verify()
    assert "blob" in problem.what


def test_files_in_the_wrong_place(full: Store):
    record = full.root / "records" / "run" / "ff" / "ff00.json"
    record.rename(record.with_name("aa00.json"))
    blob = only(full, "blobs/*/*.safetensors")
    blob.rename(blob.with_name("weights.safetensors"))
    whats = [problem.what for problem in full.verify()]
    assert "a record does not belong here." in whats
    assert "a blob does not belong here." in whats
