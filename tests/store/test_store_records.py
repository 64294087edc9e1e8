"""Records come back as they were written, or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.errors import UserError
from tutelage.store import DamageWarning, Record, Store, records
from tutelage.store.documents import canonical
from tutelage.store.files import DamagedError


def path_of(store: Store, record: Record) -> Path:
    return store.root / "records" / record.kind / record.id[:2] / f"{record.id}.json"


def test_a_record_comes_back(store: Store, record: Record):
    assert store.get("run", record.id) is None
    assert not store.has("run", record.id)
    store.put(record)
    assert store.get("run", record.id) == record
    assert store.has("run", record.id)
    assert not store.has("study", record.id)


def test_the_file_is_sorted_json_with_a_checksum_of_the_result(store: Store, record: Record):
    store.put(record)
    text = path_of(store, record).read_text()
    document = json.loads(text)
    assert list(document) == sorted(document)
    assert document["result"] == record.result
    compact = json.dumps(record.result, sort_keys=True, separators=(",", ":"))
    assert document["result_sha256"] == hashlib.sha256(compact.encode()).hexdigest()


def test_putting_twice_changes_nothing_and_the_last_one_counts(store: Store, record: Record):
    store.put(record)
    before = path_of(store, record).read_bytes()
    shuffled = dataclasses.replace(record, result=dict(reversed(record.result.items())))
    store.put(shuffled)
    assert path_of(store, record).read_bytes() == before
    other = dataclasses.replace(record, result={"val_error": 1.0})
    store.put(other)
    assert store.get("run", record.id) == other
    assert store.ids("run") == [record.id]


def test_ids_and_prefixes(store: Store, record: Record):
    assert store.ids("run") == []
    for id in ("b2", "a1", "a", "abc", "abd.1"):
        store.put(dataclasses.replace(record, id=id))
    assert store.ids("run") == ["a", "a1", "abc", "abd.1", "b2"]
    assert store.find("run", "ab") == ["abc", "abd.1"]
    assert store.find("run", "") == store.ids("run")
    assert store.find("run", "../a*") == []
    assert store.ids("study") == []


def test_files_that_are_no_records_are_not_listed(store: Store, record: Record):
    store.put(record)
    folder = path_of(store, record).parent
    (folder / ".0123456789abcdef.tmp").write_bytes(b"half")
    (folder / "._ab12cd.json").write_bytes(b"what some systems leave")
    assert store.ids("run") == [record.id]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_a_number_that_is_not_finite_is_refused_by_its_key(
    store: Store, record: Record, bad: float
):
    result = {"history": [{"loss": 1.0}, {"loss": bad}]}
    with pytest.raises(ValueError, match=r"'result\.history\[1\]\.loss' is -?(nan|inf)"):
        store.put(dataclasses.replace(record, result=result))
    with pytest.raises(ValueError, match=r"'timing\.s'"):
        store.put(dataclasses.replace(record, timing={"s": bad}))
    assert not store.has("run", record.id)


@pytest.mark.parametrize("bad", [np.float32(1), np.arange(2), {1, 2}, b"x", Path("x")])
def test_what_json_cannot_hold_is_refused_by_its_key(store: Store, record: Record, bad: object):
    with pytest.raises(TypeError, match=r"'result\.x' is a \w+"):
        store.put(dataclasses.replace(record, result={"x": bad}))


def test_keys_must_be_strings(store: Store, record: Record):
    with pytest.raises(TypeError, match=r"'result\.x' has the key 1"):
        store.put(dataclasses.replace(record, result={"x": {1: 2}}))


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a b", "-x", ".x", "é", "a" * 201])
def test_names_stay_inside_the_store(store: Store, record: Record, name: str):
    with pytest.raises(ValueError, match="is not a name"):
        store.put(dataclasses.replace(record, id=name))
    for ask in (
        lambda: store.get(name, "a"),
        lambda: store.has("run", name),
        lambda: store.ids(name),
        lambda: store.has_checkpoint(name),
        lambda: store.cache_file("images", name),
        lambda: store.folder(name),
        lambda: store.lease(name),
    ):
        with pytest.raises(ValueError, match="is not a name"):
            ask()


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "garbage", "other"])
def test_a_damaged_record_is_set_aside_and_counts_as_missing(
    store: Store, record: Record, damage: str, flip
):
    store.put(record)
    path = path_of(store, record)
    if damage == "flip":
        flip(path)
    elif damage == "other":  # a whole record, but not the one asked for
        store.put(dataclasses.replace(record, id="zz"))
        (path.parent.parent / "zz" / "zz.json").replace(path)
    else:
        path.write_bytes(
            {"truncate": path.read_bytes()[:-20], "empty": b"", "garbage": b"[1]"}[damage]
        )
    bytes_found = path.read_bytes()
    with pytest.warns(DamageWarning, match=str(path)) as warned:
        assert store.get("run", record.id) is None
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert not store.has("run", record.id)
    (aside,) = (store.root / "damaged").iterdir()
    assert aside.read_bytes() == bytes_found
    assert str(aside) in str(warned[0].message)
    store.put(record)  # computed again
    assert store.get("run", record.id) == record
    assert store.verify() == []


def test_every_single_flipped_bit_is_noticed_or_harmless(store: Store, record: Record):
    store.put(record)
    data = path_of(store, record).read_bytes()
    noticed = 0
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert records.parse("run", record.id, bytes(flipped)) == record
        except DamagedError:
            noticed += 1
    assert noticed >= 8 * len(data) - 10  # such as 1e-05 written 1E-05, which means the same


def test_a_record_written_anew_while_it_is_set_aside_is_kept(
    store: Store, record: Record, monkeypatch: pytest.MonkeyPatch, flip
):
    """Another process recomputes the record between our reading of the damage and our move."""
    store.put(record)
    flip(path_of(store, record))
    parse, raced = records.parse, []

    def parse_slowly(kind: str, id: str, data: bytes) -> Record:
        try:
            return parse(kind, id, data)
        except DamagedError:
            raced.append(True)
            store.put(record)
            raise

    monkeypatch.setattr(records, "parse", parse_slowly)
    assert store.get("run", record.id) == record
    assert raced == [True]
    assert store.has("run", record.id)
    assert list((store.root / "damaged").iterdir()) == []


def test_threads_may_write_and_read_the_same_record(store: Store, record: Record):
    store.put(record)
    wrong: list[object] = []

    def work(number: int) -> None:
        for count in range(15):
            store.put(dataclasses.replace(record, result={"v": [number, count] * 500}))
            found = store.get("run", record.id)
            if found is None or len(found.result["v"]) != 1000:
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.verify() == []
    assert not list(store.root.rglob("*.tmp"))


plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(plain_json)
def test_plain_documents_survive_the_canonical_form(document: object):
    text = canonical(document)
    assert json.loads(text) == document
    assert canonical(json.loads(text)) == text


@pytest.mark.parametrize("change", ["more", "less"])
def test_a_record_of_another_version_is_refused_and_not_set_aside(
    store: Store, record: Record, change: str
):
    store.put(record)
    path = path_of(store, record)
    document = json.loads(path.read_text())
    del document["sha256"]
    if change == "more":
        document["certificate"] = "of the year 2031"
    else:
        del document["timing"]
    document["sha256"] = hashlib.sha256(canonical(document).encode()).hexdigest()
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="another version of tutelage") as caught:
        store.get("run", record.id)
    assert caught.value.where == f"records/run/ab/{record.id}.json"
    assert "newer tutelage" in (caught.value.fix or "")
    assert path.exists()
    assert [problem.what for problem in store.verify()] == [caught.value.what]
