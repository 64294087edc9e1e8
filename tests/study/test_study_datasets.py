"""Studies on datasets given from Python: the same data as from files, written down once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import tutelage as tt

OPTIONS = {
    "recipe": {"epochs": 1, "batch_size": 50},
    "student": {"model": "plain-4-4"},
    "teachers": {"large": {"model": "plain-8-8"}},
    "conditions": {"kd": {"teacher": "large"}},
    "replicates": {"count": 2, "students": 1},
}
DATA = {"source": "digits", "train": 100, "validation": 50, "test": 100, "views": "shift-1"}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits():
    """Images uint8 [N, 1, 8, 8] and labels, as the source `digits` has them."""
    grey, labels = load_digits(return_X_y=True)
    images = np.rint(grey * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    return torch.from_numpy(images), torch.from_numpy(labels)


class Backwards(Dataset):
    """The digits in reverse, as floats from 0 to 1."""

    def __init__(self, images, labels):
        self.images, self.labels = images.flip(0), labels.flip(0)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index].float() / 255, int(self.labels[index])


class Streamed(IterableDataset):
    def __init__(self, images, labels):
        self.pairs = list(zip(images, labels, strict=True))

    def __iter__(self):
        return iter(self.pairs)


@pytest.mark.parametrize("kind", [TensorDataset, Backwards, Streamed])
def test_a_dataset_is_the_same_data_as_its_pixels_from_elsewhere(digits, tmp_path, kind):
    ours = tt.Study(dataset=kind(*digits), data=DATA, **OPTIONS).prepare(tmp_path)
    theirs = tt.Study(data=DATA, **OPTIONS).prepare(tmp_path)
    assert ours.manifest["fingerprints"] == theirs.manifest["fingerprints"]
    assert ours.id == theirs.id


def test_a_pair_brings_its_own_test_set_and_worker_processes_see_it(digits, tmp_path):
    images, labels = digits
    train = TensorDataset(images[:500], labels[:500])
    test = TensorDataset(images[500:800], labels[500:800])
    study = tt.Study(dataset=(train, test), data=DATA, **OPTIONS)
    result = study.run(tmp_path / "store", workers=1)
    assert not result.failures
    assert result.document["study"]["data"]["test"] == 100
    assert {row["status"] for row in result.runs} == {"done"}
    again = study.run(tmp_path / "store", workers=1)
    assert again.trained == 0
    assert len(list((tmp_path / "store" / "datasets").iterdir())) == 1


def test_a_built_in_study_takes_a_dataset_instead_of_a_path(digits, tmp_path):
    study = tt.Study.load("demo", data=TensorDataset(*digits))
    assert study.dataset is not None
    context = study.prepare(tmp_path, keep=False)
    assert context.manifest["data"]["shape"] == [8, 8, 1]
    assert context.config.data.source == "files"
    assert context.config.data.label_noise == 0.3
