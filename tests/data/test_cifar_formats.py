"""CIFAR files: what is missing, damaged or out of range is told in one message."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from written_formats import (
    CIFAR10,
    dump_py2,
    dump_py3,
    make_arrays,
    write_cifar10_binary,
    write_cifar10_pickles,
    write_cifar100_binary,
    write_cifar100_pickles,
)

from tutelage.config.schema import DataConfig
from tutelage.data import load_source
from tutelage.errors import UserError

HUNDRED = [f"class {n}" for n in range(100)]


def load(path, cache, source="files"):
    return load_source(DataConfig(source=source, path=str(path)), cache)


def refused(path, cache, words, where, source="files"):
    with pytest.raises(UserError, match=words) as caught:
        load(path, cache, source)
    assert caught.value.where == str(where)


@pytest.fixture
def binary(tmp_path):
    return write_cifar10_binary(tmp_path / "binary", make_arrays())


@pytest.fixture
def pickles(tmp_path):
    return write_cifar10_pickles(tmp_path / "pickles", make_arrays(), dump_py2)


def test_a_record_is_label_and_planes(cache, tmp_path):
    arrays = make_arrays(each=1, test_each=1)
    source = load(write_cifar10_binary(tmp_path / "b", arrays), cache)
    first = (tmp_path / "b" / "data_batch_1.bin").read_bytes()
    assert len(first) == 2 * 3073
    pixels = source.images[source.labels == first[0]][0]
    y, x, green = 5, 9, 1
    assert pixels[y, x, green] == first[1 + green * 1024 + y * 32 + x]


def test_names_come_from_the_files(cache, tmp_path):
    names = [f"thing {n}" for n in range(10)]
    path = write_cifar10_binary(tmp_path / "b", make_arrays(), names)
    assert load(path, cache).class_names == tuple(names)
    assert load(path, cache, "cifar10").class_names == tuple(names)
    (path / "batches.meta.txt").unlink()
    assert load(path, cache).class_names == tuple("0123456789")
    assert load(path, cache, "cifar10").class_names == CIFAR10


def test_cifar100_uses_the_fine_labels(cache, tmp_path):
    arrays = make_arrays(classes=100, each=1, test_each=1)
    for number, path in enumerate(
        (
            write_cifar100_binary(tmp_path / "b", arrays, HUNDRED),
            write_cifar100_pickles(tmp_path / "p", arrays, HUNDRED, dump_py2),
        )
    ):
        source = load(path, cache)
        assert source.class_names == tuple(HUNDRED), number
        assert source.labels.tolist() == list(range(100))
        for label in (0, 42, 99):
            written = arrays.train[arrays.train_labels == label][0]
            np.testing.assert_array_equal(source.images[label], written)


@pytest.mark.parametrize(
    "name", ["data_batch_1.bin", "data_batch_4.bin", "test_batch.bin", "data_batch_3", "test_batch"]
)
def test_a_missing_batch_is_named(cache, binary, pickles, name):
    root = binary if name.endswith(".bin") else pickles
    (root / name).unlink()
    refused(root, cache, "is missing", root / name)


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_missing_part_of_cifar100(cache, tmp_path, name):
    arrays = make_arrays(classes=100, each=1, test_each=1)
    write_cifar100_pickles(tmp_path / "p", arrays, HUNDRED, dump_py2)
    write_cifar100_binary(tmp_path / "b", arrays, HUNDRED)
    (tmp_path / "p" / name).unlink()
    (tmp_path / "b" / f"{name}.bin").unlink()
    refused(tmp_path / "p", cache, "missing", tmp_path / "p" / name)
    refused(tmp_path / "b", cache, "missing", tmp_path / "b" / f"{name}.bin")


@pytest.mark.parametrize("length", [0, 1, 3072, 3073 * 2 - 1, 3073 * 2 + 1])
def test_a_binary_file_of_wrong_length(cache, binary, length):
    path = binary / "data_batch_2.bin"
    os.truncate(path, length)
    refused(binary, cache, f"has {length} bytes, which are not whole images of 3073", path)


@pytest.mark.parametrize("length", [0, 1, 100, 5000])
def test_a_pickle_that_is_cut_off(cache, pickles, length):
    path = pickles / "data_batch_2"
    os.truncate(path, length)
    refused(pickles, cache, "no pickle, or a damaged one", path)


def test_a_label_out_of_range(cache, binary, pickles):
    path = binary / "data_batch_2.bin"
    data = bytearray(path.read_bytes())
    data[3073] = 10
    path.write_bytes(data)
    refused(binary, cache, "image 1 has label 10; labels go from 0 to 9", path)
    path = pickles / "test_batch"
    content = pickle.loads(path.read_bytes(), encoding="latin-1")
    path.write_bytes(pickle.dumps(content | {"labels": [0, 11, *content["labels"][2:]]}))
    refused(pickles, cache, "image 1 has label 11; labels go from 0 to 9", path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": None}, "the labels are object, not numbers"),
        ({"labels": [0, 1]}, "the labels are 2; for 20 images they must be 20"),
        ({"labels": [[0], [1, 2]]}, "the labels are not numbers"),
        ({"labels": ["cat"] * 20}, "labels are <U3, not numbers"),
        ({"labels": [0.5] * 20}, r"label at \[0\] is 0.5"),
        ({"labels": [-1] * 20}, r"label at \[0\] is -1"),
        ({"labels": [float("nan")] * 20}, r"label at \[0\] is nan"),
        ({"data": None}, "its 'data' is not an array of bytes with 3072 columns"),
        ({"data": np.zeros((20, 3071), np.uint8)}, "not an array of bytes"),
        ({"data": np.zeros((20, 3072), np.float32)}, "not an array of bytes"),
        ({"data": np.zeros((3072,), np.uint8)}, "not an array of bytes"),
        ({"data": np.array(3, np.uint8)}, "not an array of bytes"),
        ({"data": np.zeros((1, 3072), np.uint8)[:0]}, "(not an array of bytes|wants to run)"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_pickles_of_something_else(cache, pickles, change, words, protocol):
    path = pickles / "test_batch"
    content = pickle.loads(path.read_bytes(), encoding="latin-1")
    path.write_bytes(pickle.dumps(content | change, protocol))
    where = path if "data" in change else f"{path}, 'labels'"
    refused(pickles, cache, words, where)


def test_pickles_without_what_is_needed(cache, pickles):
    path = pickles / "data_batch_1"
    for key in ("data", "labels"):
        content = pickle.loads(path.read_bytes(), encoding="latin-1")
        path.write_bytes(pickle.dumps({k: v for k, v in content.items() if k != key}))
        refused(pickles, cache, f"no '{key}'", path)
        path.write_bytes(pickle.dumps(content))
    path.write_bytes(pickle.dumps([1]))
    refused(pickles, cache, "holds no dict", path)


def test_a_hostile_batch_runs_nothing(cache, pickles, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'canary'}",)

    path = pickles / "data_batch_5"
    content = pickle.loads(path.read_bytes(), encoding="latin-1")
    path.write_bytes(pickle.dumps(content | {"filenames": Hostile()}))
    refused(pickles, cache, r"wants to run (posix|nt)\.system", path)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("names", [CIFAR10[:9], (*CIFAR10, "cat")])
def test_a_wrong_number_of_names(cache, tmp_path, names):
    path = write_cifar10_binary(tmp_path / "b", make_arrays(), names)
    words = f"there are {len(names)} class names in this file, not 10"
    refused(path, cache, words, path / "batches.meta.txt")


def test_names_that_are_none(cache, pickles):
    path = pickles / "batches.meta"
    path.write_bytes(pickle.dumps({"label_names": [1, 2]}))
    refused(pickles, cache, "'label_names' is not a list of names", path)


def test_a_class_without_training_images(cache, tmp_path):
    arrays = make_arrays()
    kept = arrays.train_labels != 3
    some = arrays._replace(train=arrays.train[kept], train_labels=arrays.train_labels[kept])
    path = write_cifar10_pickles(tmp_path / "p", some, dump_py3(4))
    refused(path, cache, r"class 3 \('cat'\) has no training image", path)


def test_a_class_without_test_images(cache, tmp_path):
    arrays = make_arrays()
    kept = arrays.test_labels != 9
    some = arrays._replace(test=arrays.test[kept], test_labels=arrays.test_labels[kept])
    path = write_cifar10_binary(tmp_path / "b", some)
    refused(path, cache, r"class 9 \('truck'\) has training images but no test image", path)


def test_cifar100_is_not_cifar10(cache, tmp_path):
    path = write_cifar100_binary(
        tmp_path / "b", make_arrays(classes=100, each=1, test_each=1), HUNDRED
    )
    words = r"(?s)not cifar10: its images are 32x32 with 3 channels in 100 classes.*in 10\."
    refused(path, cache, words, path, "cifar10")


def test_both_forms_at_one_place(cache, tmp_path):
    write_cifar10_binary(tmp_path / "d" / "cifar-10-batches-bin", make_arrays())
    write_cifar10_pickles(tmp_path / "d" / "cifar-10-batches-py", make_arrays(), dump_py2)
    refused(tmp_path / "d", cache, "(?s)more than one data set.*binary.*pickles", tmp_path / "d")
