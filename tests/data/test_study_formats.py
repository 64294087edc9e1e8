"""The built-in studies, run from every format of their data: one study, trained once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from written_formats import (
    CIFAR10,
    dump_py2,
    dump_py3,
    make_arrays,
    write_cifar10_binary,
    write_cifar10_pickles,
    write_folder,
    write_idx,
    write_npz,
)

from tutelage.api import Study

SMALL = [
    "data.train=60", "data.validation=20", "data.test=20", "recipe.epochs=3",
    "recipe.batch_size=20", "replicates.count=2", "replicates.students=1",
]  # fmt: skip
CIFAR = {
    "binary": write_cifar10_binary,
    "pickles of Python 2": lambda path, arrays: write_cifar10_pickles(path, arrays, dump_py2),
    "pickles of Python 3": lambda path, arrays: write_cifar10_pickles(path, arrays, dump_py3(4)),
    "folder": lambda path, arrays: write_folder(path, arrays, CIFAR10),
    "npz": lambda path, arrays: write_npz(path / "cifar.npz", arrays),
}
FASHION = {
    "idx": write_idx,
    "gzipped": lambda path, arrays: write_idx(path, arrays, zipped=True),
    "folder": lambda path, arrays: write_folder(path, arrays, [str(n) for n in range(10)]),
    "npz": lambda path, arrays: write_npz(path / "fashion.npz", arrays),
}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("study", "shape", "formats"),
    [("cifar10-quick", (32, 32, 3), CIFAR), ("fashion-quick", (28, 28, 1), FASHION)],
)
def test_a_study_is_the_same_from_every_format(tmp_path, study, shape, formats):
    arrays = make_arrays(shape=shape, each=20, test_each=4)
    store = tmp_path / "store"
    first = None
    for number, (name, write) in enumerate(formats.items()):
        shuffled = np.random.default_rng(number).permutation(len(arrays.train))
        mixed = arrays._replace(
            train=arrays.train[shuffled], train_labels=arrays.train_labels[shuffled]
        )
        path = Path(write(tmp_path / name / "data", mixed))
        result = Study.load(study, data=path, overrides=SMALL).run(store, workers=0, device="cpu")
        assert not result.failures
        found = (result.context.id, result.context.manifest["fingerprints"],
                 [row["digest"] for row in result.runs])  # fmt: skip
        if first is None:
            first = found
            assert result.trained == len(result.runs)
        else:
            assert found == first
            assert result.trained == 0, f"trained again from {name}"
