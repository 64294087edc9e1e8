"""Taking over another store: what comes, what stays, and what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tutelage.errors import UserError
from tutelage.store import Store


@pytest.fixture
def other(tmp_path, record, arrays):
    """A store with a record of arrays, a study and an unfinished training."""
    store = Store.open(tmp_path / "other")
    digest = store.put_arrays(arrays)
    store.put(replace(record, result={**record.result, "blobs": {"logits": digest}}))
    store.put_checkpoint("unfinished", arrays, {"epoch": 1})
    (store.folder("studies") / "mine.json").write_text("{}")
    return store


def _figures(merged):
    return merged.records, merged.blobs, merged.studies


def test_all_that_is_finished_comes_once(store, other, record, arrays):
    assert _figures(store.merge(other)) == (1, 1, 1)
    taken = store.get("run", record.id)
    assert taken == other.get("run", record.id)
    found = store.get_arrays(taken.result["blobs"]["logits"])
    assert {name: each.tolist() for name, each in found.items()} == {
        name: each.tolist() for name, each in arrays.items()
    }
    assert (store.root / "studies" / "mine.json").read_text() == "{}"
    assert not store.has_checkpoint("unfinished")
    assert store.verify() == []
    again = store.merge(other)
    assert (_figures(again), again.differing, again.problems) == ((0, 0, 0), [], [])


def test_another_result_is_told_and_ours_is_kept(store, other, record):
    ours = replace(record, result={"val_error": 99.0})
    store.put(ours)
    merged = store.merge(other)
    assert [path.stem for path in merged.differing] == [record.id]
    assert store.get("run", record.id) == ours
    # Where and how fast it was computed is no other result.
    same = replace(other.get("run", record.id), timing={"attributed_s": 9.0})
    store.put(same)
    assert store.merge(other).differing == []
    assert store.get("run", record.id) == same


def test_what_is_damaged_stays_out(store, other, record):
    blob = next((other.root / "blobs").rglob("*.safetensors"))
    whole = blob.read_bytes()
    for damage in (lambda: blob.write_bytes(whole[:-1]), blob.unlink):
        damage()
        merged = store.merge(other)
        assert _figures(merged)[:2] == (0, 0)
        assert [problem.path.stem for problem in merged.problems] == [record.id]
        assert store.get("run", record.id) is None
    blob.write_bytes(whole)
    path = next((other.root / "records").rglob("*.json"))
    path.write_text(path.read_text().replace("12.5", "12.4"))
    assert [problem.path for problem in store.merge(other).problems] == [path]
    assert path.exists()  # the other store is not ours to change
    assert store.verify() == []


def test_a_store_is_not_merged_into_itself(store):
    with pytest.raises(UserError, match="the store itself"):
        store.merge(Store.open(store.root))
