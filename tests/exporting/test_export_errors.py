"""What can be wrong with an export: one message each, and nothing half written."""

from __future__ import annotations

import builtins
import json
import shutil

import numpy as np
import pytest

import tutelage as tt
from tutelage.exporting import export as exporting
from tutelage.exporting.card_text import int8_verdict
from tutelage.exporting.parity import check_exact, compare


def _refused(*args, **options) -> str:
    with pytest.raises(tt.UserError) as caught:
        tt.export(*args, **options)
    return str(caught.value)


@pytest.fixture
def store(result):
    """The folder of the study's store."""
    return result.context.store.root


def test_unknown_names(store, result, tmp_path):
    with pytest.raises(tt.UserError, match="Did you mean 'r0/kd/s0'"):
        result.export(tmp_path / "out", run="r0/kd/s9")
    message = _refused("shippd", tmp_path / "out", store=store)
    assert "no study and no run of this name: 'shippd'" in message
    assert "Did you mean 'shipped'?" in message
    message = _refused("last", tmp_path / "out", formats=["onxx"], store=store)
    assert "unknown format 'onxx'" in message
    assert "Did you mean 'onnx'?" in message
    assert "no store here" in _refused("last", tmp_path / "out", store=tmp_path / "none")
    assert not (tmp_path / "out").exists()


def test_a_beginning_of_several_runs(store, result, tmp_path):
    ids = [run["id"] for run in result.runs]
    assert len({i[:4] for i in ids}) == len(ids), "else this test asks the wrong thing"
    assert "no study and no run" in _refused(ids[0][:3], tmp_path / "out", store=store)


def test_a_run_that_is_not_finished(parts, photos, tmp_path):
    parts["data"]["path"] = str(photos)
    context = tt.Study(**parts).prepare(tmp_path / "store", "cpu")
    message = _refused("r0/scratch/s0", tmp_path / "out", store=tmp_path / "store")
    assert "this run of shipped is not finished" in message
    assert "`tutelage run`" in message
    run = context.trajectory(context.node("r0/scratch/s0")).id
    assert "is not finished" in _refused(run[:12], tmp_path / "out", store=tmp_path / "store")
    message = _refused("shipped", tmp_path / "out", store=tmp_path / "store")
    assert "no student of this study is trained yet" in message
    assert not (tmp_path / "out").exists()


def test_a_run_that_diverged(parts, photos, tmp_path):
    parts["data"]["path"] = str(photos)
    parts["recipe"]["optimizer"] = {"sgd": {"lr": 1e30}}
    parts |= {"teachers": {}, "conditions": {}, "replicates": {"count": 1, "students": 1}}
    result = tt.Study(**parts).run(tmp_path / "store", workers=0, device="cpu")
    assert result.runs[0]["status"] == "diverged"
    message = _refused("r0/scratch/s0", tmp_path / "out", store=tmp_path / "store")
    assert "this run diverged in epoch 1" in message


def test_images_that_are_gone_or_others(result, photos, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(photos, moved)
    copy = tmp_path / "store"
    shutil.copytree(result.context.store.root, copy)
    _point(copy, tmp_path / "gone")
    message = _refused("last", tmp_path / "out", formats=["torch"], store=copy)
    assert "the images of shipped cannot be read again: there is no such folder" in message
    assert "--data PATH" in message
    made = tt.export("last", tmp_path / "out", formats=["torch"], data=str(moved), store=copy)
    assert made.card["data"]["fingerprint"] in result.context.manifest["fingerprints"]
    next(moved.rglob("*.png")).unlink()
    message = _refused("last", tmp_path / "other", formats=["torch"], data=str(moved), store=copy)
    assert "cannot be read again" in message
    assert not (tmp_path / "other").exists()


def _point(store, path):
    """Makes the studies of a store look for their images at `path`."""
    from tutelage.study.context import _sealed

    for file in store.glob("studies/*.json"):
        manifest = json.loads(file.read_bytes())["manifest"]
        manifest["config"]["data"]["path"] = str(path)
        file.write_bytes(_sealed(manifest))


def test_a_package_that_is_missing(store, monkeypatch, tmp_path):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    message = _refused("last", tmp_path / "out", store=store)
    assert "pip install 'tutelage[export]'" in message
    assert "onnxruntime" in message
    made = tt.export("last", tmp_path / "out", formats=["safetensors"], store=store)
    assert made.files[0].is_file()


def test_a_file_that_computes_something_else_is_not_written(store, monkeypatch, tmp_path):
    real = exporting.open_runner
    monkeypatch.setattr(
        exporting, "open_runner", lambda path: lambda images: real(path)(images) + 2e-4
    )
    message = _refused("last", tmp_path / "out", formats=["safetensors"], store=store)
    assert "its logits differ by up to 0.0002" in message
    assert list(tmp_path.iterdir()) == []


def test_where_the_folder_cannot_be(store, tmp_path):
    (tmp_path / "file").write_text("")
    assert "this is a file" in _refused("last", tmp_path / "file", store=store)
    message = _refused("last", tmp_path / "file" / "out", formats=["safetensors"], store=store)
    assert "is a file, not a folder" in message


def test_parity_figures_are_those_of_arithmetic():
    original = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 4.0]], np.float32)
    logits = original + np.array([[0, 0], [2.0, 0], [0, 0], [0.25, 0]], np.float32)
    check = compare(logits, original, np.array([0, 0, 1, 1]))
    assert (check.difference, check.same) == (2.0, 75.0)
    assert (check.error, check.original, check.cost) == (25.0, 50.0, -25.0)
    assert (check.gained, check.lost) == (1, 0)
    check_exact("x", compare(original + np.float32(9e-5), original, np.array([0, 0, 1, 1])))
    with pytest.raises(tt.UserError, match="differ by up to"):
        check_exact("x", compare(original + np.float32(1.1e-4), original, np.array([0, 0, 1, 1])))


@pytest.mark.parametrize(("largest", "allowed"), [(1.0, 1e-4), (100.0, 1e-4), (2e3, 2e-3)])
def test_rounding_of_large_logits_is_larger(largest, allowed):
    original = np.array([[largest, 0.0], [0.0, 1.0]])
    assert compare(original, original, np.array([0, 1])).allowed == pytest.approx(allowed)


@pytest.mark.parametrize(
    ("cost", "words"), [(0.5, "int8 keeps"), (0.51, "int8 does not keep"), (-3.0, "int8 keeps")]
)
def test_int8_is_told_plainly(cost, words):
    check = {"cost": cost, "images": 200, "error": 10 + cost, "original": 10.0}
    assert int8_verdict(check).startswith(f"{words} the error within 0.5 points: ")
