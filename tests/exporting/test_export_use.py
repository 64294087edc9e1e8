"""Using what was exported: its error on any images, and predictions for files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import tutelage as tt


@pytest.fixture
def copied(shipped, tmp_path):
    """A copy of the export, to be spoiled."""
    shutil.copytree(shipped.folder, tmp_path / "student")
    return tmp_path / "student"


def _said(function, *args, **options) -> str:
    with pytest.raises(tt.UserError) as caught:
        function(*args, **options)
    return str(caught.value)


def test_error_on_the_study_is_the_stored_test_error(shipped, result, row, photos):
    folder, store = shipped.folder, result.context.store.root
    for what in (folder, folder / "student.pt2", folder / "student.safetensors"):
        found = tt.evaluate(what, str(photos))
        assert found["metrics"]["error"] == row["test_error"]
        assert found["metrics"]["nll"] == pytest.approx(row["test_nll"], abs=1e-5)
        assert (found["data"], found["images"]) == ("the study's test images", 150)
    for data in (None, str(photos)):
        found = tt.evaluate(row["id"], data, store=store)
        assert found["metrics"]["error"] == row["test_error"]
        assert found["metrics"]["ece"] == pytest.approx(row["test_ece"], abs=1e-4)
    best = tt.evaluate("last", store=store)
    assert best["metrics"]["error"] == result.best()["test_error"]
    by_class = [row["error"] for row in found["classes"]]
    assert by_class == pytest.approx(row["test_class_errors"])
    assert sum(entry["images"] for entry in found["classes"]) == 150
    wrong = np.array(found["confusion"])
    assert 100 * (1 - np.trace(wrong) / wrong.sum()) == pytest.approx(row["test_error"])


def test_other_images_are_matched_by_the_names_of_their_classes(shipped, photos, tmp_path):
    """Three classes, named in capitals: their numbers are 0, 1, 2; the student's are others."""
    root = tmp_path / "three"
    for name in ("Nine", "TWO", "zero"):
        shutil.copytree(photos / name.lower(), root / name)
    found = tt.evaluate(shipped.folder, str(root))
    assert found["data"] == "all its images"
    counts = {entry["name"]: entry["images"] for entry in found["classes"]}
    assert {n for n, count in counts.items() if count} == {"nine", "two", "zero"}
    predicted = tt.predict(shipped.folder, root)["predictions"]
    wrong = [p for p in predicted if p["file"].split("/")[-2].lower() != p["class"]]
    assert found["metrics"]["error"] == pytest.approx(100 * len(wrong) / len(predicted))
    assert len(wrong) < 0.8 * len(predicted), "chance is 90 % wrong"


def test_a_test_folder_is_preferred_and_other_sizes_are_brought(shipped, photos, tmp_path):
    root = tmp_path / "set"
    for name in ("one", "six"):
        for split, at in (("train", slice(0, 5)), ("test", slice(5, 12))):
            (root / split / name).mkdir(parents=True)
            for path in sorted((photos / name).iterdir())[at]:
                image = Image.open(path).resize((16, 16), Image.Resampling.NEAREST)
                image.save(root / split / name / path.name)
    found = tt.evaluate(shipped.folder, str(root))
    assert (found["data"], found["images"]) == ("its test images", 14)
    small = tmp_path / "small"
    for name in ("one", "six"):
        (small / name).mkdir(parents=True)
        for path in sorted((photos / name).iterdir())[5:12]:
            shutil.copy(path, small / name)
    assert found["metrics"] == tt.evaluate(shipped.folder, str(small))["metrics"]


def test_images_of_another_kind(shipped, photos, tmp_path):
    folder = shipped.folder
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "rgb.npz", x_train=noise, y_train=np.array([0, 1, 0, 1, 0, 1]))
    message = _said(tt.evaluate, folder, str(tmp_path / "rgb.npz"))
    assert "8x8x3; the student takes 8x8x1" in message
    shutil.copytree(photos / "one", tmp_path / "more" / "one")
    shutil.copytree(photos / "two", tmp_path / "more" / "dos")
    message = _said(tt.evaluate, folder, str(tmp_path / "more"))
    assert "'dos' is none of the student's classes" in message
    assert "no such folder" in _said(tt.evaluate, folder, str(tmp_path / "none"))
    assert "the data set is not named" in _said(tt.evaluate, folder)


def test_every_format_of_a_study_can_be_evaluated(shipped, photos, tmp_path):
    """The student has seen some of these images, so that the error is only compared."""
    files = [path for name in ("one", "six") for path in sorted((photos / name).iterdir())[:12]]
    for path in files:
        (tmp_path / "folder" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "folder" / path.parent.name)
    labels = [path.parent.name for path in files]
    rows = [f"{path},{label}" for path, label in zip(files, labels, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["path,label", *rows]))
    images = [path.read_bytes() for path in files]
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "rows.parquet")
    figures = [
        tt.evaluate(shipped.folder, str(tmp_path / name))
        for name in ("folder", "rows.csv", "rows.parquet")
    ]
    assert figures[0]["images"] == 24
    assert figures[0] == figures[1] == figures[2]
    for name in ("rows.csv", "rows.parquet"):
        message = _said(tt.predict, shipped.folder, tmp_path / name)
        assert "there is no image to predict" in message
        assert "`tutelage evaluate` takes it" in message


def test_images_without_names_are_matched_by_their_numbers(shipped, test_images, tmp_path):
    pixels, labels = test_images
    images = np.rint(pixels.transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    np.savez(tmp_path / "digits.npz", x_train=images, y_train=labels)
    found = tt.evaluate(shipped.folder, str(tmp_path / "digits.npz"))
    expected = shipped.card["figures"]["test"]["error"]
    assert found["metrics"]["error"] == pytest.approx(expected)


def test_predictions_are_the_softmax_of_the_student(shipped, photos):
    found = tt.predict(shipped.folder, photos / "one", photos / "two")
    count = len([*(photos / "one").iterdir(), *(photos / "two").iterdir()])
    assert len(found["predictions"]) == count
    assert found["skipped"] == []
    first = found["predictions"][0]
    assert first["file"] == str(sorted((photos / "one").iterdir())[0])
    student = tt.load_student(shipped.folder)
    pixels = np.asarray(Image.open(first["file"]), np.float32)[None, None] / 255
    import torch

    share = student(torch.from_numpy(pixels)).softmax(1)[0].tolist()
    assert list(first["probabilities"].values()) == pytest.approx(share, abs=1e-5)
    assert first["probability"] == max(first["probabilities"].values())
    assert first["probabilities"][first["class"]] == first["probability"]


def test_prediction_skips_what_is_no_image(shipped, photos, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "cut.png").write_bytes(next((photos / "one").iterdir()).read_bytes()[:60])
    (tmp_path / "deep").mkdir()
    wide = Image.open(next((photos / "one").iterdir())).resize((20, 10)).convert("RGB")
    wide.save(tmp_path / "deep" / "wide.jpg")
    (tmp_path / ".hidden").write_text("not even looked at")
    found = tt.predict(shipped.folder, tmp_path)
    assert [p["file"] for p in found["predictions"]] == [str(tmp_path / "deep" / "wide.jpg")]
    assert [p["file"] for p in found["skipped"]] == [
        str(tmp_path / "cut.png"), str(tmp_path / "notes.txt")
    ]  # fmt: skip
    assert "cannot be read" in found["skipped"][0]["why"]
    assert found["skipped"][1]["why"] == "this is no image."
    message = _said(tt.predict, shipped.folder, tmp_path / "notes.txt")
    assert "there is no image to predict" in message
    assert "no such file" in _said(tt.predict, shipped.folder, tmp_path / "none.png")


def test_damaged_and_foreign_files(copied, shipped, photos, tmp_path):
    path = copied / "student.onnx"
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    for function in (tt.predict, tt.evaluate):
        message = _said(function, path, str(photos))
        assert "this file is damaged, or another one than the card beside it describes" in message
    path.unlink()
    assert "this file is missing, and the card names it" in _said(tt.predict, copied, photos)
    assert "no such" in _said(tt.predict, path, photos)
    (copied / "other.onnx").write_bytes(data)
    assert "the card beside this file does not know it" in _said(
        tt.predict, copied / "other.onnx", photos
    )
    card = copied / "card.json"
    newer = json.loads(card.read_text()) | {"schema": 99}
    card.write_text(json.dumps(newer))
    assert "a newer version of tutelage" in _said(tt.predict, copied, photos)
    for text in ("{", "[]", "{}", '{"made_by": "tutelage", "schema": 1, "files": 3}'):
        card.write_text(text)
        assert "no card of tutelage's" in _said(tt.predict, copied, photos)
    card.unlink()
    assert "there is no card.json here" in _said(tt.predict, copied, photos)
    assert "there is no card.json here" in _said(tt.evaluate, copied, store=tmp_path / "none")


@pytest.mark.parametrize("name", ["student.safetensors", "student.pt2", "student.onnx"])
def test_a_file_that_its_card_vouches_for_and_no_reader_reads(copied, photos, name):
    """As when both are forged: still one message."""
    import hashlib

    card = json.loads((copied / "card.json").read_text())
    card["files"][name]["sha256"] = hashlib.sha256(b"nonsense").hexdigest()
    (copied / "card.json").write_text(json.dumps(card))
    (copied / name).write_bytes(b"nonsense")
    message = _said(tt.predict, copied / name, photos)
    assert name in message
    assert "damaged" in message or "no student" in message


def test_loading_weights_that_are_none(tmp_path, copied):
    assert "no such" in _said(tt.load_student, tmp_path / "none.safetensors")
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, tmp_path / "x.safetensors")
    assert "no student that tutelage exported" in _said(tt.load_student, tmp_path / "x.safetensors")
    assert "cannot be read" in _said(tt.load_student, tmp_path)
