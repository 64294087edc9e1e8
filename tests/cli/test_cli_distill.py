"""`tutelage distill`: a student, a teacher and images are enough."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tutelage.config.load import load_study
from tutelage.distilling import distillation
from tutelage.errors import UserError
from tutelage.exporting.formats import FILES, at_hand

pytestmark = pytest.mark.usefixtures("here")

QUICK = ["--student", "plain-4", "--teacher", "plain-8", "--data", "digits", "--epochs", "1",
         "--replicates", "2", "--workers", "0", "--device", "cpu"]  # fmt: skip


def test_a_teacher_that_is_trained_here_is_also_stopped_early() -> None:
    config = distillation("wrn-16-1", "wrn-40-2", "photos", size=32)
    assert config.teachers["early"].of == "teacher"
    assert config.conditions["distilled"].teacher == ["teacher", "early"]
    assert config.data.views == "crop-4-flip"
    alone = distillation("wrn-16-1", "wrn-40-2", "photos", early=False)
    assert list(alone.teachers) == ["teacher"]


def test_a_teacher_with_weights_stays_as_it_is_unless_it_is_fine_tuned() -> None:
    given = distillation("wrn-16-1", "timm:resnet18@best.safetensors", "photos")
    assert list(given.teachers) == ["teacher"]
    tuned = distillation("wrn-16-1", "timm:resnet18@best.safetensors", "photos", fine_tune=True)
    assert tuned.teachers["teacher"].fine_tune is True
    assert "early" in tuned.teachers


@pytest.mark.parametrize(
    ("source", "size", "views"),
    [("digits", None, "shift-1"), ("files", 16, "flip"), ("files", None, "crop-4-flip")],
)
def test_views_fit_the_images(source, size, views) -> None:
    assert distillation("plain-4", "plain-8", source=source, size=size).data.views == views


def test_it_runs_and_says_which_student_to_take(call) -> None:
    said = call("distill", *QUICK, "--no-export")
    assert said.code == 0, said.err
    assert "distilled/early" in said.out
    assert "Take " in said.out
    assert "by which it was chosen of 6 students" in said.words
    assert not Path("distill-plain-4").exists()
    again = call("distill", *QUICK, "--no-export")
    assert "10 runs, 10 of them done before, 0 to train" in again.words


def test_images_without_labels_are_taught_on_beside(call) -> None:
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8)
    Path("more").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(Path("more") / f"{number}.png")
    few = ["--no-early", "--no-export", "--unlabelled"]
    said = call("distill", *QUICK, *few, "nowhere")
    assert said.code == 2
    assert "data.unlabelled: nowhere: there is no such folder." in " ".join(said.err.split())
    said = call("distill", *QUICK, *few, "more")
    assert said.code == 0, said.err
    assert "with-unlabelled" in said.out
    assert "by which it was chosen of 6 students" in said.words


def test_it_ends_with_the_student_as_files(call) -> None:
    said = call("distill", *QUICK)
    assert said.code == 0, said.err
    folder = Path("distill-plain-4")
    card = json.loads((folder / "card.json").read_text())
    assert f"run {card['training']['run'][:12]}: " in said.words
    assert sorted(card["files"]) == sorted(FILES[name] for name in at_hand())
    assert all((folder / name).stat().st_size == card["files"][name]["bytes"]
               for name in card["files"])  # fmt: skip
    assert str(folder / "student.safetensors") in said.out


def test_without_the_packages_of_onnx_it_says_how_to_get_one(call, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    said = call("distill", *QUICK, "--no-early", "-o", "files")
    assert said.code == 0, said.err
    assert "No ONNX file: pip install 'tutelage[export]'" in said.words
    assert sorted(path.name for path in Path("files").iterdir()) == [
        "README.md", "card.json", "student.pt2", "student.safetensors"
    ]  # fmt: skip


def test_the_study_can_be_written_and_is_the_one_that_would_run(call, tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    assert call("distill", *QUICK, "--write", path).code == 0
    assert load_study(str(path)) == distillation(
        "plain-4", "plain-8", source="digits", epochs=1, replicates=2
    )
    said = call("distill", *QUICK, "--write", path)
    assert said.code == 2
    assert f"{path}: is there already." in said.err


def test_mistakes_are_told(call) -> None:
    said = call("distill", *QUICK, "--student", "wnr-16-1")
    assert said.code == 2
    assert "unknown model 'wnr-16-1'" in said.err
    with pytest.raises(UserError, match="after @ comes"):
        distillation("plain-4@", "plain-8")
