"""What the command says of a store: damage in it, versions that do not fit, and leftovers."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest


@pytest.fixture
def copied(ran, here):
    """A copy of the finished store of the tiny study, the store of the current folder."""
    return shutil.copytree(ran[2], here / "tutelage-store")


def test_damage_is_told_once_and_mended_in_the_same_run(call, copied):
    before = json.loads(call("results", "--json").out)
    record = next((copied / "records" / "mimicry").rglob("*.json"))
    record.write_text("{")
    run = next(row for row in before["runs"] if row["key"] == "r0/teacher/large")
    weights = copied / "blobs" / run["digest"][:2] / f"{run['digest']}.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    said = call("run", "tiny.yaml", "--workers", 0)
    assert said.code == 0
    assert said.err.count("warning: ") == 2
    for path in (record, weights):
        assert f"warning: {path} is damaged" in said.err
    assert said.err.count(f"it was moved to {copied / 'damaged'}/") == 2
    assert said.err.count("`tutelage run` computes it again") == 2
    assert call("store", "verify").code == 0
    after = json.loads(call("results", "--json").out)
    assert after["findings"] == before["findings"]
    assert [row["digest"] for row in after["runs"]] == [row["digest"] for row in before["runs"]]
    again = call("run", "tiny.yaml", "--workers", 0)
    assert (again.code, again.err) == (0, "")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 0}', "null", "\x00\xff"])
def test_a_damaged_manifest_stops_neither_status_nor_run(call, copied, text):
    assert call("run", "tiny.yaml", "--set", "seed=1", "--set", "replicates.count=1",
                "--set", "recipe.epochs=1", "--workers", 0).code == 0  # fmt: skip
    damaged, other = sorted((copied / "studies").glob("*.json"), key=os.path.getmtime)
    damaged.write_text(text, encoding="latin1")
    said = call("status", "--json")
    assert said.code == 0
    assert [row["id"] for row in json.loads(said.out)["studies"]] == [other.stem]
    assert str(damaged) in said.err
    said = call("run", "tiny.yaml", "--workers", 0)
    assert said.code == 0
    assert "28 of them done before, 0 to train" in said.words
    said = call("status", "--json")
    assert said.err == ""
    assert {row["id"] for row in json.loads(said.out)["studies"]} == {damaged.stem, other.stem}


@pytest.mark.parametrize("key", ["versions", "training_fingerprints", "costs", "id", "started"])
def test_a_manifest_with_a_letter_changed_is_damaged(call, copied, key):
    (path,) = (copied / "studies").glob("*.json")
    text = path.read_text()
    assert f'"{key}"' in text
    path.write_text(text.replace(f'"{key}"', f'"{key[:-1]}x"'))
    assert f"{path} is damaged" in call("status").err
    assert call("run", "tiny.yaml", "--workers", 0).code == 0
    assert json.loads(path.read_text())["manifest"].keys() == json.loads(text)["manifest"].keys()
    assert call("status").err == ""


def test_a_manifest_of_a_newer_version_is_left_alone(call, copied):
    (path,) = (copied / "studies").glob("*.json")
    newer = json.dumps(json.loads(path.read_text()) | {"schema": 99})
    path.write_text(newer)
    for verb in (["status"], ["results"], ["run", "tiny.yaml", "--workers", 0]):
        said = call(*verb)
        assert said.code == 2
        assert "newer version" in said.err
        assert str(path) in said.err
    assert path.read_text() == newer


VERBS = [["run", "tiny.yaml"], ["plan", "tiny.yaml"], ["status"], ["results"], ["report"],
         ["store", "ls"], ["store", "verify"], ["store", "gc"], ["show", "a"]]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_store_of_a_newer_format(call, copied, verb):
    (copied / "FORMAT").write_text('{"format": 2}')
    said = call(*verb)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {copied}/FORMAT: the store has format 2")
    assert "Install a newer tutelage, or choose another store." in said.err
    assert len(said.err.splitlines()) == 2


def test_a_store_that_nobody_can_tell_the_format_of(call, copied):
    (copied / "FORMAT").write_text("")
    said = call("results")
    assert (said.code, said.out) == (2, "")
    assert "does not say what format the store has" in said.err


# --- gc ------------------------------------------------------------------------------------------


@pytest.fixture
def cluttered(copied):
    """The store with a temporary file of last week, and one that was set aside."""
    stale = copied / "blobs" / ".0123.tmp"
    stale.write_bytes(b"half of it")
    week = time.time() - 7 * 24 * 3600
    os.utime(stale, (week, week))
    (copied / "damaged").mkdir()
    (copied / "damaged" / "ab.1234.json").write_text("{")
    return stale


def test_gc_says_what_it_removes(call, cluttered, copied):
    kept = {path for path in copied.rglob("*") if path.is_file()} - {cluttered}
    said = call("store", "gc", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{cluttered} (10 bytes)\nWould free 0.00 MB, 1 files.\n"
    assert cluttered.exists()
    assert call("store", "gc").out == f"{cluttered} (10 bytes)\nFreed 0.00 MB, 1 files.\n"
    assert {path for path in copied.rglob("*") if path.is_file()} == kept
    assert call("store", "gc").out == "Freed 0.00 MB, 0 files.\n"


def test_gc_of_what_was_set_aside(call, cluttered, copied):
    cached = [path for path in (copied / "cache").rglob("*") if path.is_file()]
    said = call("store", "gc", "--damaged", "--cache")
    for path in [copied / "damaged" / "ab.1234.json", *cached]:
        assert str(path) in said.out
        assert not path.exists()
    assert f"{2 + len(cached)} files" in said.out
    assert list((copied / "damaged").iterdir()) == []
    assert call("store", "verify").code == 0


def test_a_merged_study_needs_no_training(call, copied, here):
    taken = call("store", "merge", copied, "--store", "new")
    assert taken.code == 0, taken.err
    assert "records, " in taken.out
    assert ", 1 study." in taken.out
    said = call("run", "tiny.yaml", "--workers", 0, "--store", "new")
    assert "28 of them done before, 0 to train" in said.words
    both = [json.loads(call("results", "--json", "--store", each).out) for each in (copied, "new")]
    assert both[0]["findings"] == both[1]["findings"]
    assert call("store", "merge", copied, "--store", "new").out == (
        "Taken over: 0 records, 0 files of arrays, 0 studies.\n"
    )
    next((copied / "blobs").rglob("*.safetensors")).unlink()
    broken = call("store", "merge", copied, "--store", "third")
    assert broken.code == 1
    assert "left out" in broken.out
    missing = call("store", "merge", "nowhere")
    assert (missing.code, missing.err.count("there is no store here")) == (2, 1)
