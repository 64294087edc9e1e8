"""Sources: digits and named data sets, their order and names, and what is refused at a path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from written_formats import (
    CIFAR10,
    make_arrays,
    write_cifar10_binary,
    write_folder,
    write_idx,
    write_npz,
)

from tutelage import data
from tutelage.config.schema import DataConfig
from tutelage.data import SOURCES, load_source
from tutelage.data.formats import decode
from tutelage.data.named_sets import NAMED_SETS
from tutelage.data.prepare import canonical_order
from tutelage.errors import UserError

NOBODY = 65534


def load(path, cache, source="files", **options):
    config = DataConfig(source=source, path=None if path is None else str(path), **options)
    return load_source(config, cache)


def refused(path, cache, words, where, source="files", **options):
    with pytest.raises(UserError, match=words) as caught:
        load(path, cache, source, **options)
    assert caught.value.where == str(where)
    assert caught.value.fix


# Digits


def test_digits_are_scaled_from_16_grey_values_to_255(cache):
    source = load_source(DataConfig(source="digits"), cache)
    assert source.images.shape == (1797, 8, 8, 1)
    assert source.images.dtype == np.uint8
    assert source.labels.dtype == np.int64
    assert source.test_images is None
    assert source.test_labels is None
    assert source.class_names == tuple("0123456789")
    grey, labels = load_digits(return_X_y=True)
    table = [round(p * 255 / 16) for p in range(17)]
    assert table[8] == 128
    assert table[16] == 255
    expected = np.array(table, np.uint8)[grey.astype(int)].reshape(-1, 8, 8, 1)
    order = canonical_order(expected, labels)
    assert sorted(order) == list(range(1797))
    np.testing.assert_array_equal(source.images, expected[order])
    np.testing.assert_array_equal(source.labels, labels[order])
    assert (np.diff(source.labels) >= 0).all()


def test_digits_are_the_same_where_the_table_lies_elsewhere(cache, monkeypatch):
    source = load_source(DataConfig(source="digits"), cache)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    again = load_source(DataConfig(source="digits"), cache)
    np.testing.assert_array_equal(again.images, source.images)
    np.testing.assert_array_equal(again.labels, source.labels)


@pytest.mark.parametrize(
    ("key", "value"), [("path", "/tmp"), ("size", 8), ("classes", "leaf"), ("fit", "stretch")]
)
def test_digits_take_no_options_of_files(cache, key, value):
    with pytest.raises(UserError) as caught:
        load_source(DataConfig(source="digits", **{key: value}), cache)
    assert caught.value.where == f"data.{key}"


# The list of sources


def test_an_unknown_source_names_the_nearest(cache):
    with pytest.raises(UserError, match="Did you mean 'image-folder'") as caught:
        load_source(DataConfig(source="imagefolder"), cache)
    assert caught.value.where == "data.source"
    assert set(SOURCES) == {"digits", "files", "image-folder", *NAMED_SETS}


def test_the_named_data_sets():
    sizes = {name: (named.shape, len(set(named.class_names))) for name, named in NAMED_SETS.items()}
    assert sizes == {
        "cifar10": ((32, 32, 3), 10),
        "cifar100": ((32, 32, 3), 100),
        "mnist": ((28, 28, 1), 10),
        "fashion-mnist": ((28, 28, 1), 10),
    }
    for name in ("cifar10", "cifar100"):  # the official order is the alphabetical one
        assert list(NAMED_SETS[name].class_names) == sorted(NAMED_SETS[name].class_names)


def test_sources_and_worlds_need_no_torch():
    code = (
        "import sys; import tutelage.data, tutelage.data.sources, tutelage.data.world;"
        "import tutelage.data.from_dataset;"
        "assert 'torch' not in sys.modules, 'torch is imported';"
        "assert 'sklearn' not in sys.modules, 'scikit-learn is imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists():
    assert all(getattr(data, name) is not None for name in data.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = data.nothing


# Canonical order


def test_the_order_depends_on_labels_and_pixels_alone():
    arrays = make_arrays(classes=4, shape=(5, 6, 3), each=50)
    images, labels = arrays.train, arrays.train_labels
    images[labels == 2] = images[labels == 2][0]  # ties
    images[0] = images[1]  # the same pixels, perhaps with two labels
    results = set()
    for seed in range(4):
        mixed = np.random.default_rng(seed).permutation(len(images))
        order = mixed[canonical_order(images[mixed], labels[mixed])]
        assert sorted(order) == list(range(len(images)))
        results.add((images[order].tobytes(), labels[order].tobytes()))
    assert len(results) == 1
    order = canonical_order(images, labels)
    assert (np.diff(labels[order]) >= 0).all()


# Names


def test_names_that_are_asked_for(cache, tmp_path):
    arrays = make_arrays(classes=3, shape=(8, 8, 1))
    path = write_npz(tmp_path / "a.npz", arrays, class_names=np.array(["x", "y", "z"]))
    assert load(path, cache).class_names == ("x", "y", "z")
    assert load(path, cache, class_names=["k", "l", "m"]).class_names == ("k", "l", "m")
    digits = [f"digit {n}" for n in range(10)]
    source = load_source(DataConfig(source="digits", class_names=digits), cache)
    assert source.class_names == tuple(digits)
    for wrong in (["k", "l"], ["k", "l", "m", "n"], ["k", "l", "l"]):
        refused(path, cache, "has 3 classes", "data.class_names", class_names=wrong)


def test_default_names_of_a_named_data_set(cache, tmp_path):
    arrays = make_arrays()
    numbers = [str(n) for n in range(10)]
    path = write_folder(tmp_path / "numbers", arrays, numbers)
    assert load(path, cache).class_names == tuple(numbers)
    assert load(path, cache, "cifar10").class_names == CIFAR10
    assert load(path, cache, "cifar10", class_names=numbers).class_names == tuple(numbers)
    others = [f"thing {n}" for n in range(10)]  # may be in another order: the files' names win
    path = write_folder(tmp_path / "others", arrays, others)
    assert load(path, cache, "cifar10").class_names == tuple(others)
    path = write_folder(tmp_path / "capitals", arrays, [name.upper() for name in CIFAR10])
    assert load(path, cache, "cifar10").class_names == CIFAR10


# Named data sets are what they should be


@pytest.mark.parametrize(
    ("source", "shape", "classes", "words"),
    [
        ("cifar10", (32, 32, 3), 9, "32x32 with 3 channels in 9 classes, .* 32x32 with 3 in 10"),
        ("cifar10", (32, 32, 1), 10, "32x32 with 1 channel in 10 classes"),
        ("cifar10", (32, 31, 3), 10, "32x31 with 3 channels"),
        ("cifar100", (32, 32, 3), 10, ".* in 10 classes, .* in 100"),
        ("mnist", (28, 28, 3), 10, "28x28 with 3 channels in 10 classes, .* with 1 in 10"),
        ("fashion-mnist", (8, 8, 1), 10, "8x8 with 1 channel"),
    ],
)
def test_something_else_under_a_known_name(cache, tmp_path, source, shape, classes, words):
    path = write_npz(tmp_path / "a.npz", make_arrays(classes, shape, each=2, test_each=1))
    for size in (None, shape[0]):  # the shape is that before the size
        refused(path, cache, f"not {source}: its images are {words}", path, source, size=size)
    assert len(load(path, cache).images) == classes * 2


def test_a_known_name_with_images_of_several_sizes(cache, tmp_path, write_image):
    root = write_folder(tmp_path / "f", make_arrays(each=2, test_each=1), CIFAR10)
    write_image(root / "train" / "cat" / "large.png", width=40, height=40)
    refused(root, cache, "not cifar10: its images are several sizes", root, "cifar10", size=32)


# Options that would change nothing


def test_options_that_would_change_nothing(cache, tmp_path, folder):
    path = write_npz(tmp_path / "a.npz", make_arrays(classes=3, shape=(8, 8, 1)))
    refused(path, cache, "is for folders of images", "data.classes", classes="leaf")
    refused(folder, cache, "data.size, which is not set", "data.fit", fit="stretch")


# What lies at the path


@pytest.mark.parametrize("path", [None, ""])
@pytest.mark.parametrize("source", ["files", "image-folder", "cifar10"])
def test_a_path_is_needed(cache, path, source):
    refused(path, cache, r"(?s)not named.*--data PATH", "data.path", source)


@pytest.mark.parametrize("name", ["nowhere", "zero\0byte", "file/in/a/file"])
def test_a_missing_folder_is_named(cache, tmp_path, name):
    (tmp_path / "file").write_text("")
    refused(tmp_path / name, cache, "no such folder or file", tmp_path / name)


def test_a_name_that_is_too_long(cache, tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / ("x" * 5000), cache)


def test_home_is_understood(cache, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(load(f"~/{folder.name}", cache).images) == 10


def test_a_file_is_no_folder(cache, folder, tmp_path):
    file = folder / "train" / "cat" / "0.png"
    refused(file, cache, "a file, not a folder, nor a .npz, .csv or .parquet file", file)
    path = write_npz(tmp_path / "a.npz", make_arrays(classes=3, shape=(8, 8, 1)))
    refused(path, cache, "no folder of images, but a NumPy archive", path, "image-folder")
    refused(file, cache, r"a file, not a folder\.", file, "image-folder")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("cifar-10-python.tar.gz", "tar -xf cifar-10-python.tar.gz -C FOLDER"),
        ("a.tgz", "tar -xf"),
        ("a.TAR", "tar -xf"),
        ("a.zip", "unzip a.zip -d FOLDER"),
        ("a.7z", "7z x a.7z"),
    ],
)
def test_archives_are_to_be_unpacked(cache, tmp_path, name, command):
    folder = tmp_path / "d"
    folder.mkdir()
    with tarfile.open(folder / name, "w:gz") as archive:
        archive.add(__file__, "x")
    for path, words in ((folder / name, "a packed archive"), (folder, f"still packed .{name}")):
        with pytest.raises(UserError, match=words) as caught:
            load(path, cache)
        assert caught.value.where == str(path)
        assert command in str(caught.value.fix)


def test_an_archive_beside_its_content_does_no_harm(cache, tmp_path):
    write_cifar10_binary(tmp_path / "d" / "cifar-10-batches-bin", make_arrays(each=2, test_each=1))
    (tmp_path / "d" / "cifar-10-binary.tar.gz").write_bytes(b"")
    assert len(load(tmp_path / "d", cache, "cifar10").images) == 20


def test_nothing_that_is_known(cache, tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    words = "(?s){}.*train/<class>/<image>.*data_batch_1.bin.*train-images-idx3-ubyte.*npz"
    refused(folder, cache, words.format("this folder is empty"), folder)
    (folder / "table.csv").write_text("1,2")
    (folder / "notes" / "old").mkdir(parents=True)
    refused(folder, cache, words.format("no data set is recognised"), folder)


def test_two_data_sets_at_one_place(cache, tmp_path, folder):
    write_idx(tmp_path / "i" / "raw", make_arrays(shape=(8, 8, 1)))
    shutil.copy(write_npz(tmp_path / "a.npz", make_arrays()), tmp_path / "i" / "a.npz")
    words = r"(?s)more than one data set.*idx files in .*raw; a NumPy archive in .*a\.npz\..*Name"
    refused(tmp_path / "i", cache, words, tmp_path / "i")
    write_npz(folder / "a.npz", make_arrays())
    refused(folder, cache, "NumPy archive.*a folder of images", folder)


def test_an_image_folder_is_asked_for(cache, tmp_path):
    path = write_cifar10_binary(tmp_path / "b", make_arrays(each=2, test_each=1))
    words = "(?s)no folder of images, but CIFAR-10 in binary form.*data.source to files"
    refused(path, cache, words, path, "image-folder")


def test_images_that_do_not_fit_into_memory(cache, folder, monkeypatch):
    def too_much(*_):
        raise MemoryError

    monkeypatch.setattr(decode.np, "empty", too_much)
    refused(folder, cache, "(?s)do not fit into memory.*data.size", folder)


# Permission


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which permission does not stop."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may read, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize(
    "closed",
    [
        *("f", "f/train/cat", "f/train/cat/00000.png", "b", "b/data_batch_2.bin"),
        *("i", "i/train-labels-idx1-ubyte", "a.npz"),
    ],
)
def test_what_may_not_be_read(cache, open_folder, closed):
    cache("images", "x")  # makes the folder
    load_source(DataConfig(source="digits"), cache)  # imports what loading needs
    tiny = make_arrays(shape=(32, 32, 3), each=2, test_each=1)
    numbers = [f"c{n}" for n in range(9)] + ["cat"]
    write_folder(open_folder / "f", tiny, numbers)
    for number, file in enumerate(sorted((open_folder / "f/train/cat").iterdir())):
        os.rename(file, file.with_name(f"{number:05}.png"))
    write_cifar10_binary(open_folder / "b", tiny)
    write_idx(open_folder / "i", make_arrays(shape=(8, 8, 1), each=2, test_each=1))
    write_npz(open_folder / "a.npz", tiny)
    (open_folder / closed).chmod(0)
    path = open_folder / closed.split("/")[0]
    with as_nobody():
        refused(path, cache, "cannot be read: permission is denied", open_folder / closed)
