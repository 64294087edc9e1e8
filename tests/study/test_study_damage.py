"""Files of a store are damaged or deleted for real: `run` says so and computes them again."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch

from tutelage.api import Study, open_result
from tutelage.errors import UserError
from tutelage.store import DamageWarning, Store
from tutelage.study import execute
from tutelage.study.context import Context
from tutelage.training.loop import Stopped

PARTS = {
    "name": "tiny",
    "data": {"source": "digits", "train": 60, "validation": 20, "test": 40},
    "recipe": {"epochs": 3, "batch_size": 20, "optimizer": {"sgd": {"lr": 0.05}}},
    "student": {"model": "plain-4"},
    "teachers": {
        "large": {"model": "plain-8"},
        "cut": {"of": "large", "stop": {"truncated": 1}},
        "soft": {"of": "cut", "scale": {"entropy_of": "large"}},
    },
    "conditions": {"kd": {"teacher": ["large", "soft"]}},
    "replicates": {"count": 1, "students": 1},
}  # fmt: skip


def truncate(data):
    return data[: len(data) // 2]


def flip(data):
    flipped = bytearray(data)
    flipped[len(data) // 2 : len(data) // 2 + 1] = (b ^ 4 for b in data[len(data) // 2 :][:1])
    return bytes(flipped)


def empty(data):
    return b""


DAMAGES = {"truncated": truncate, "flipped": flip, "emptied": empty, "deleted": None}


def damage(path, how):
    if DAMAGES[how] is None:
        path.unlink()
    else:
        path.write_bytes(DAMAGES[how](path.read_bytes()))


def facts(result):
    """The document of a study without what differs from one execution to the next."""
    document = json.loads(json.dumps(result.document))
    for run in document["runs"]:
        del run["timing"]
        for row in run["history"]:
            row.pop("seconds", None)
    for key in ("created", "versions", "machine"):
        del document["study"][key]
    return document


def run(store, workers=0, **options):
    """The result of the study in this store, and what was told of damage."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DamageWarning)
        result = Study(**PARTS).run(store, workers=workers, device="cpu", **options)
    told = [str(item.message) for item in caught if item.category is DamageWarning]
    return result, told


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The store of the study when it is done, and its facts; to be read only."""
    torch.set_num_threads(1)
    result, told = run(tmp_path_factory.mktemp("finished") / "store")
    assert (result.failures, told) == ({}, [])
    return result.context.store.root, facts(result)


@pytest.fixture
def disturbed(finished, tmp_path):
    """A copy of the finished store, to be damaged."""
    return Path(shutil.copytree(finished[0], tmp_path / "store"))


def rows(store):
    return {row["key"]: row for row in open_result("tiny", store).runs}


def record_of(store, kind, **wanted):
    """The one record of a kind whose result has these values, as a file; any when none are."""
    for path in sorted((store / "records" / kind).rglob("*.json")):
        result = json.loads(path.read_text())["result"]
        if all(result.get(key) == value for key, value in wanted.items()):
            return path
    raise AssertionError(f"no {kind} record with {wanted}")


def run_record(store, key):
    id = rows(store)[key]["id"]
    return store / "records" / "run" / id[:2] / f"{id}.json"


def blob(store, digest):
    return store / "blobs" / digest[:2] / f"{digest}.safetensors"


def evaluated(store, name):
    """A blob that an evaluation names."""
    path = record_of(store, "evaluation")
    return blob(store, json.loads(path.read_text())["result"]["blobs"][name])


KINDS = {
    "run of a teacher": lambda s: run_record(s, "r0/teacher/large"),
    "run of a student": lambda s: run_record(s, "r0/kd/large/s0"),
    "state that a teacher is": lambda s: record_of(s, "state", epoch=1),
    "state that nothing needs": lambda s: record_of(s, "state", epoch=3),
    "evaluation": lambda s: record_of(s, "evaluation"),
    "scale": lambda s: record_of(s, "scale"),
    "mimicry": lambda s: record_of(s, "mimicry"),
    "weights of a teacher": lambda s: blob(s, rows(s)["r0/teacher/large"]["digest"]),
    "weights of a student": lambda s: blob(s, rows(s)["r0/kd/soft/s0"]["digest"]),
    "logits": lambda s: evaluated(s, "logits"),
    "labels": lambda s: evaluated(s, "labels"),
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_set_aside_told_and_computed_again(finished, disturbed, kind, how):
    path = KINDS[kind](disturbed)
    before = path.read_bytes()
    damage(path, how)
    left = path.read_bytes() if path.exists() else None
    result, told = run(disturbed)
    assert result.failures == {}
    assert facts(result) == finished[1]
    assert Store.open(disturbed).verify() == []
    if kind.startswith(("weights", "logits", "labels")):
        assert path.read_bytes() == before
    aside = list((disturbed / "damaged").glob("*"))
    if how == "deleted":  # of a record that is gone nobody can know
        assert len(told) == ("blobs" in path.parts)
        assert aside == []
    else:
        assert len(told) == 1
        assert [file.read_bytes() for file in aside] == [left]
        assert str(aside[0]) in told[0]
        assert "computes it again" in told[0]
    assert all(str(path) in text for text in told)
    again, told = run(disturbed)
    assert (again.trained, told) == (0, [])
    assert facts(again) == finished[1]


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGES)
def test_whatever_file_is_damaged(finished, tmp_path, how):
    for number, path in enumerate(sorted(finished[0].rglob("*"))):
        if not path.is_file() or path.name == "FORMAT":
            continue
        store = Path(shutil.copytree(finished[0], tmp_path / f"{number}"))
        damage(store / path.relative_to(finished[0]), how)
        result, _ = run(store)
        assert (result.failures, facts(result)) == ({}, finished[1]), path
        assert Store.open(store).verify() == [], path


def test_many_damaged_files_at_once(finished, disturbed):
    files = [KINDS[kind](disturbed) for kind in KINDS]
    for number, path in enumerate(files):
        damage(path, ["truncated", "flipped", "emptied"][number % 3])
    result, told = run(disturbed, workers=2)
    assert result.failures == {}
    assert facts(result) == finished[1]
    for path in files:
        assert sum(f"{path} is damaged" in text for text in told) <= 1
    assert len(told) == len(set(told)) == len(list((disturbed / "damaged").glob("*")))
    assert Store.open(disturbed).verify() == []


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_manifest_is_written_anew(finished, disturbed, how):
    (path,) = (disturbed / "studies").glob("*.json")
    damage(path, how)
    result, _ = run(disturbed)
    assert result.trained == 0
    assert facts(result) == facts(open_result("tiny", disturbed)) == finished[1]


@pytest.mark.parametrize("how", ["truncated", "flipped", "emptied"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_checkpoint_is_told_and_the_run_begins_earlier(finished, tmp_path, how, workers):
    if workers and how != "flipped":
        pytest.skip("once is enough where a process must start")
    context = Study(**PARTS).prepare(tmp_path / "store", "cpu")
    with pytest.raises(Stopped):
        execute.execute(context, ["r0/teacher/large"], stop=lambda: True)
    (path,) = (tmp_path / "store" / "checkpoints").glob("*")
    damage(path, how)
    result, told = run(tmp_path / "store", workers)
    assert facts(result) == finished[1]
    assert len(told) == 1
    assert f"{path} is damaged" in told[0]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_table_of_a_teacher_s_logits_changes_no_student(finished, disturbed, how):
    tables = list((disturbed / "cache" / "logits").glob("*"))
    assert tables
    for path in tables:
        damage(path, how)
    for key in ("r0/kd/large/s0", "r0/kd/soft/s0"):
        run_record(disturbed, key).unlink()
    result, _ = run(disturbed)
    assert facts(result) == finished[1]


# --- while the study runs -------------------------------------------------------------------------

HURT = """\
import os, sys
if "tutelage.study.engines.worker" in sys.orig_argv:
    import tutelage.study.execute as execute
    real = execute._begin

    def begin(context, node, *more):
        if node.role == "student" and node.training.teacher and not os.path.exists({mark!r}):
            open({mark!r}, "w").close()
            with open({weights!r}, "r+b") as file:
                file.truncate(100)
        return real(context, node, *more)

    execute._begin = begin
"""


def test_weights_that_are_lost_under_way_are_trained_again_in_the_same_run(
    finished, disturbed, tmp_path, monkeypatch
):
    """The first student that is asked for finds its teacher damaged after all was looked at."""
    weights = blob(disturbed, rows(disturbed)["r0/teacher/large"]["digest"])
    shutil.rmtree(disturbed / "cache")
    run_record(disturbed, "r0/kd/large/s0").unlink()
    hurt = HURT.format(mark=str(tmp_path / "mark"), weights=str(weights))
    (tmp_path / "sitecustomize.py").write_text(hurt)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    events = []
    result, told = run(disturbed, workers=1, on_event=events.append)
    assert result.failures == {}
    assert next(event.key for event in events if event.kind == "stalled") == "r0/kd/large/s0"
    assert not any(event.kind == "failed" for event in events)
    assert len(told) == 1
    assert f"{weights} is damaged" in told[0]
    assert facts(result) == finished[1]
    assert Store.open(disturbed).verify() == []


def test_a_store_that_loses_files_again_and_again_is_given_up(disturbed, monkeypatch):
    """Somebody deletes the teacher's weights whenever a student is about to hear it."""
    real = execute._begin

    def begin(context: Context, node, *more):
        if node.role == "student" and node.training.teacher:
            teacher = context.run(context.node("r0/teacher/large"))
            assert teacher is not None
            blob(disturbed, teacher.result["blobs"]["final"]).unlink(missing_ok=True)
        return real(context, node, *more)

    run_record(disturbed, "r0/kd/large/s0").unlink()
    shutil.rmtree(disturbed / "cache")
    monkeypatch.setattr(execute, "_begin", begin)
    events = []
    with pytest.raises(UserError, match="its files keep getting lost: the weights") as caught:
        run(disturbed, on_event=events.append)
    assert caught.value.where == str(disturbed)
    stalled = [event.key for event in events if event.kind == "stalled"]
    assert stalled.count("r0/kd/large/s0") == 3
    assert not any(event.kind == "failed" for event in events)
