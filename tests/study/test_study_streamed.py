"""Studies on images that stay in their folder: end to end, resumed, from teachers with weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import tutelage as tt
from tutelage.config.load import load_study
from tutelage.models.build import build_model
from tutelage.study import execute
from tutelage.training.loop import Stopped, train

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def write_photos(root, classes, train, val, side):
    """A folder in ImageNet's layout, each class of a colour of its own."""
    for label in range(classes):
        rng = np.random.default_rng(label)
        colour = rng.integers(40, 216, 3)
        for split, count in (("train", train), ("val", val)):
            folder = root / split / f"n{label:08d}"
            folder.mkdir(parents=True)
            for number in range(count):
                noisy = np.clip(colour + rng.normal(0, 25, (3, 3, 3)), 0, 255).astype(np.uint8)
                width, height = (int(v) for v in rng.integers(side, 2 * side, 2))
                Image.fromarray(noisy).resize((width, height)).save(folder / f"{number}.JPEG")
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), 4, 12, 4, 20)


def parts(photos, weights):
    teacher = {"name": "plain-8-8", "weights": str(weights), "mean": MEAN, "std": STD}
    return {
        "name": "streamed",
        "data": {
            "source": "image-folder", "path": str(photos), "streamed": True, "size": 16,
            "validation": 8, "views": "random-resized-crop-flip",
        },
        "recipe": {"epochs": 3, "batch_size": 10, "optimizer": {"sgd": {"lr": 0.05}}},
        "student": {"model": "plain-4-4"},
        "teachers": {"public": {"model": teacher}, "own": {"model": "plain-8-8"}},
        "conditions": {"scratch": {}, "kd": {"teacher": ["public", "own"]}},
        "replicates": {"count": 1, "students": 2},
    }  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "teacher.safetensors"
    state = build_model("plain-8-8", (16, 16, 3), 4, seed=3).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def digests(result):
    return {(r["condition"], r["replicate"], r["seed"]): r["digest"] for r in result.runs}


@pytest.fixture(scope="module")
def whole(photos, weights, tmp_path_factory):
    torch.set_num_threads(1)
    return tt.Study(**parts(photos, weights)).run(tmp_path_factory.mktemp("store"), workers=0)


def test_a_streamed_study_runs_to_its_end(whole):
    students = [run for run in whole.runs if run["role"] == "student"]
    assert len(students) == 6
    assert all(run["status"] == "done" for run in whole.runs)
    assert len({run["digest"] for run in students}) == 6
    assert all(0 <= run["test_error"] <= 100 for run in students)


def test_processes_change_no_digest(whole, photos, weights, tmp_path):
    again = tt.Study(**parts(photos, weights)).run(tmp_path, workers=2)
    assert digests(again) == digests(whole)


def test_a_study_that_was_cut_off_goes_on_to_the_same_digests(
    whole, photos, weights, tmp_path, monkeypatch
):
    seen = []

    def interrupted(runs, **options):
        options["stop"] = lambda: len(seen) >= 4 or bool(seen.append(1))
        train(runs, **options)

    study = tt.Study(**parts(photos, weights))
    with monkeypatch.context() as patch:
        patch.setattr(execute, "train", interrupted)
        with pytest.raises(Stopped):
            study.run(tmp_path, workers=0)
    assert digests(study.run(tmp_path, workers=0)) == digests(whole)


def test_the_studies_on_imagenet_load_at_both_scales():
    for name in ("i1-full-kd", "i2-curves", "i3-eskd", "i4-early-stopped-teacher"):
        mini, full = (load_study(f"paper/{name}", scale=scale) for scale in ("mini", "full"))
        assert mini.data.streamed
        assert full.data.streamed
        assert full.data.size == 224
        assert full.student.model == "torchvision:resnet18"
        assert full.recipe.batch_size == 256


SHORT = ["recipe.schedule.mode=1/3"]
EARLY = [f"conditions.{name}.recipe.schedule.mode=1/1" for name in ("scratch-early", "kd-early")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("i1-full-kd", SHORT),
        ("i2-curves", SHORT + EARLY),
        ("i3-eskd", SHORT),
        ("i4-early-stopped-teacher", SHORT),
    ],
)
def test_a_study_of_the_paper_on_a_hundred_classes(tmp_path, name, overrides):
    photos = write_photos(tmp_path / "photos", 100, 5, 2, 40)
    study = load_study(f"paper/{name}", scale="mini", overrides=[
        f"data.path={photos}", "replicates.students=1", *overrides,
    ])  # fmt: skip
    result = tt.Study(study).run(tmp_path / "store", workers=2)
    claims = {claim for of_rank in study.claims.ranked().values() for claim in of_rank}
    assert {finding["claim"] for finding in result.findings} == claims
    assert all(run["status"] == "done" for run in result.runs)
    assert (result.report(tmp_path / "page.html"))[0].is_file()
