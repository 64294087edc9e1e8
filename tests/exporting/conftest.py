"""A tiny study on a folder of images, and what was exported of it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image

import tutelage as tt
from tutelage.config.schema import DataConfig
from tutelage.data.sources import load_source

PARTS = {
    "name": "shipped",
    "question": "Which teacher for the small network?",
    "data": {"source": "files", "train": 300, "validation": 60, "test": 150, "views": "shift-1"},
    "recipe": {
        "epochs": 8, "batch_size": 25, "optimizer": {"sgd": {"lr": 0.1}},
        "schedule": {"steps": [0.5], "factor": 0.2},
    },
    "student": {"model": "plain-4-4"},
    "teachers": {"large": {"model": "plain-8-8"}},
    "conditions": {"kd": {"teacher": "large", "loss": {"kd": {}, "fitnets": {}},
                          "fitnets_weight": 0.01}},
    "replicates": {"count": 2, "students": 1},
}  # fmt: skip
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def parts():
    """The study's parts, to be changed freely."""
    return copy.deepcopy(PARTS)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """600 digits as image files, in folders named in words."""
    root = tmp_path_factory.mktemp("photos")
    digits = load_source(DataConfig(source="digits"), lambda kind, key: root / kind / key)
    for number in range(0, len(digits.labels), 3):
        folder = root / "digits" / NAMES[digits.labels[number]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[number, :, :, 0]).save(folder / f"{number:04}.png")
    return root / "digits"


@pytest.fixture(scope="session")
def result(tmp_path_factory, photos):
    """The result of the study; to be read only."""
    torch.set_num_threads(1)
    parts = copy.deepcopy(PARTS)
    parts["data"]["path"] = str(photos)
    return tt.Study(**parts).run(tmp_path_factory.mktemp("run") / "store", workers=0, device="cpu")


@pytest.fixture(scope="session")
def row(result):
    """The row of the student whose files `shipped` are: one that was taught."""
    return next(run for run in result.runs if run["condition"] == "kd")


@pytest.fixture(scope="session")
def shipped(tmp_path_factory, result, row):
    """All formats of one student; to be read only."""
    return result.export(tmp_path_factory.mktemp("shipped") / "student", run=row["key"])


@pytest.fixture(scope="session")
def best(tmp_path_factory, result):
    """The weights of the study's best student; to be read only."""
    return result.export(tmp_path_factory.mktemp("best") / "student", formats=["safetensors"])


@pytest.fixture(scope="session")
def test_images(result, row):
    """Float32 [N, 1, 8, 8] and labels of the test split of that student's replicate."""
    world = result.context.world(row["replicate"])
    pixels = world.test.images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return pixels, world.test.labels
