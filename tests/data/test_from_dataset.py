"""Datasets from Python: every kind of image and label, and the same pixels as from files."""

from __future__ import annotations

import errno
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset
from written_formats import CIFAR10, make_arrays, write_cifar10_binary, write_folder

from tutelage.config.schema import DataConfig
from tutelage.data import atomic_file, load_source
from tutelage.data.from_dataset import write_npz
from tutelage.errors import StorageError, UserError

torch.set_num_threads(1)
ARRAYS = make_arrays(classes=3, shape=(8, 6, 3))


class Pairs(Dataset):
    """A map-style dataset."""

    def __init__(self, images, labels, classes=None):
        self.images, self.labels = images, labels
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        if not 0 <= index < len(self.labels):
            raise AssertionError(f"asked for {index}")
        return self.images[index], self.labels[index]


class Stream(IterableDataset):
    """The same as an iterable one."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __iter__(self):
        yield from zip(self.images, self.labels, strict=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "d.npz"


def load(path, cache, source="files", **options):
    return load_source(DataConfig(source=source, path=str(path), **options), cache)


def assert_same(one, other):
    for name in ("images", "labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def tensor(pixels):
    return torch.from_numpy(np.moveaxis(pixels, -1, 0).copy())


KINDS = {
    "pil": Image.fromarray,
    "array": lambda pixels: pixels,
    "uint8 tensor": tensor,
    "float tensor": lambda pixels: tensor(pixels) / 255,
    "float64 tensor": lambda pixels: tensor(pixels).double() / 255,
    "half tensor": lambda pixels: (tensor(pixels) / 255).half(),
    "float array": lambda pixels: (pixels / 255).astype(np.float32),
    "with gradient": lambda pixels: (tensor(pixels) / 255).requires_grad_(),
    "view": lambda pixels: tensor(np.ascontiguousarray(pixels[:, ::-1])).flip(-1),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_every_kind_of_image_is_the_same(cache, tmp_path, path, make):
    reference = load(write_folder(tmp_path / "f", ARRAYS, "012"), cache)
    train = Pairs([make(pixels) for pixels in ARRAYS.train], ARRAYS.train_labels.tolist())
    test = Stream([make(pixels) for pixels in ARRAYS.test], ARRAYS.test_labels.tolist())
    assert write_npz(path, train, test) == path
    source = load(path, cache)
    assert_same(source, reference)
    assert source.class_names == ("0", "1", "2")


LABELS = {
    "numpy": lambda label: label,
    "tensor": torch.tensor,
    "one in a tensor": lambda label: torch.tensor([label]),
    "one in an array": lambda label: np.array([label]),
    "int": int,
}


@pytest.mark.parametrize("make", LABELS.values(), ids=LABELS)
def test_every_kind_of_label_is_the_same(cache, path, make):
    write_npz(path, Pairs(ARRAYS.train, [make(label) for label in ARRAYS.train_labels]))
    assert load(path, cache).labels.tolist() == sorted(ARRAYS.train_labels)


def test_grey_images_have_one_channel(cache, path):
    grey = ARRAYS.train[..., 0]
    variants = [
        [Image.fromarray(pixels) for pixels in grey],
        torch.from_numpy(grey),
        torch.from_numpy(grey)[:, None] / 255,
        grey,
        grey[..., None],
    ]
    sources = []
    for images in variants:
        write_npz(path, Pairs(images, ARRAYS.train_labels))
        sources.append(load(path, cache))
    assert sources[0].images.shape == (18, 8, 6, 1)
    for source in sources[1:]:
        np.testing.assert_array_equal(source.images, sources[0].images)
    mixed = [*map(Image.fromarray, grey[:-1]), Image.fromarray(ARRAYS.train[-1])]
    write_npz(path, Pairs(mixed, ARRAYS.train_labels))
    source = load(path, cache)
    assert source.images.shape == (18, 8, 6, 3)
    assert (np.ptp(source.images, axis=-1) == 0).all(axis=(1, 2)).sum() == 17


def test_anything_with_pairs_is_a_dataset(cache, path):
    pairs = list(zip(ARRAYS.train, ARRAYS.train_labels, strict=True))
    images = torch.from_numpy(np.moveaxis(ARRAYS.train, -1, 1).copy())
    for dataset in (
        pairs,
        iter(pairs),
        TensorDataset(images, torch.from_numpy(ARRAYS.train_labels)),
        torch.utils.data.Subset(Pairs(ARRAYS.train, ARRAYS.train_labels), range(18)),
    ):
        write_npz(path, dataset)
        assert load(path, cache).labels.tolist() == sorted(ARRAYS.train_labels)


def test_the_same_pixels_as_official_files(cache, tmp_path, path):
    arrays = make_arrays(each=2, test_each=1)
    train = Pairs([*map(Image.fromarray, arrays.train)], arrays.train_labels, list(CIFAR10))
    write_npz(path, train, Pairs(arrays.test, arrays.test_labels))
    files = write_cifar10_binary(tmp_path / "b", arrays)
    for size in (None, 16):
        ours, theirs = (load(where, cache, "cifar10", size=size) for where in (path, files))
        assert_same(ours, theirs)
        assert ours.class_names == theirs.class_names


def test_class_names(cache, path):
    named = Pairs(ARRAYS.train, ARRAYS.train_labels, ["a", "b", "c"])
    write_npz(path, named)
    assert load(path, cache).class_names == ("a", "b", "c")
    write_npz(path, named, class_names=("x", "y", "z"))
    assert load(path, cache).class_names == ("x", "y", "z")
    write_npz(path, Pairs(ARRAYS.train, ARRAYS.train_labels, classes=3))  # no names
    assert load(path, cache).class_names == ("0", "1", "2")
    with pytest.raises(UserError, match="class names are not a list of text"):
        write_npz(path, named, class_names="abc")
    with pytest.raises(UserError, match=r"class 3 \('d'\) has no training image"):
        write_npz(path, named, class_names=["a", "b", "c", "d"])


def test_a_size_is_that_of_folders(cache, tmp_path, path):
    odd = [Image.new("RGB", (20 + n, 9), (n, 2 * n, 3 * n)) for n in range(6)]
    for number, image in enumerate(odd):
        file = tmp_path / "f" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)
    for fit in ("crop", "stretch"):
        write_npz(path, Pairs(odd, [0, 1] * 3), size=8, fit=fit)
        assert_same_train = load(tmp_path / "f", cache, size=8, fit=fit).images
        np.testing.assert_array_equal(load(path, cache).images, assert_same_train)


def refused(words, where, *datasets, **options):
    with pytest.raises(UserError, match=words) as caught:
        write_npz("never.npz", *datasets, **options)
    assert caught.value.where == where


def with_one(images=None, labels=None, index=4):
    """The dataset with one other image or label."""
    all_images, all_labels = list(ARRAYS.train), ARRAYS.train_labels.tolist()
    if images is not None:
        all_images[index] = images
    if labels is not None:
        all_labels[index] = labels[0]
    return Pairs(all_images, all_labels)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((8, 6, 3), np.nan), r"value at \[0, 0, 0\] is nan"),
        (torch.full((3, 8, 6), 2.0), r"(?s)value at \[0, 0, 0\] is 2;.*normalisation"),
        (tensor(ARRAYS.train[0]) / 128 - 1, r"(?s)floating pixels are from 0 to 1.*normalisation"),
        (torch.zeros(3, 8, 6, dtype=torch.int64), "images are int64"),
        (torch.zeros(4, 8, 6, dtype=torch.uint8), "a tensor of shape 4x8x6"),
        (np.zeros((3, 8, 6), np.uint8), "an array of shape 3x8x6"),
        (np.zeros((8,), np.uint8), "an array of shape 8"),
        (np.zeros((0, 6, 3), np.uint8), "an array of shape 0x6x3"),
        (np.zeros((600, 6, 3), np.uint8), "6x600 pixels is too large"),
        (np.zeros((8, 7, 3), np.uint8), "(?s)is 7x8 pixels, the first one 6x8.*size=32"),
        (Image.new("I;16", (6, 8)), "more than 8 bits"),
        ("0.png", "the image is str"),
        (b"\x89PNG", "the image is bytes"),
    ],
)
def test_images_that_are_none_are_named(image, words):
    refused(words, "train[4]", with_one(images=image))


@pytest.mark.parametrize(
    "label", [None, "cat", 1.5, float("nan"), torch.tensor(1.0), torch.tensor([0, 1]), -1, 2**40]
)
def test_labels_that_are_none_are_named(label):
    refused("the label is .*whole number", "train[4]", with_one(labels=[label]))


def test_samples_that_are_no_pairs():
    for sample in (ARRAYS.train[0], (ARRAYS.train[0],), {"image": 1, "label": 0}, (1, 2, 3)):
        refused("not a pair of image and label", "train[0]", [sample])
    good = [(ARRAYS.train[0], 0), (ARRAYS.train[1], 1)]
    refused("not a pair", "test[1]", good, [good[0], None])
    refused("this dataset is empty", "test", good, [])
    refused("int is not a dataset", "data", 3)


def test_classes_without_sense():
    images = ARRAYS.train
    for labels, words in (
        ([1, 2] * 9, "labels start at 1"),
        ([0, 2] * 9, "class 1 has no training image"),
        ([0] * 18, "only one class"),
    ):
        refused(words, "the dataset", Pairs(images, labels))
    refused("class 2 has test images", "the dataset", Pairs(images, [0, 1] * 9), [(images[0], 2)])


def test_errors_of_the_dataset_pass_through(path):
    class Broken(Pairs):
        def __getitem__(self, index):
            raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        write_npz(path, Broken(ARRAYS.train, ARRAYS.train_labels))
    assert not path.exists()


def test_the_file_is_whole_or_absent(path, monkeypatch):
    dataset = Pairs(ARRAYS.train, ARRAYS.train_labels)
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic_file.os, "fsync", full)
        with pytest.raises(StorageError, match="the disk is full"):
            write_npz(path, dataset)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
    write_npz(path, dataset)
    assert path.read_bytes() != b"old"
    with pytest.raises(StorageError, match="no such folder"):
        write_npz(path.parent / "nowhere" / "d.npz", dataset)
    with pytest.raises(UserError, match=r"must end in \.npz"):
        write_npz(path.parent / "d.npy", dataset)


def test_pytorch_is_not_needed(tmp_path):
    code = (
        "import sys; import numpy as np; from tutelage.data.from_dataset import write_npz;"
        "pairs = [(np.full((4, 4), n, np.uint8), n % 2) for n in range(6)];"
        f"write_npz({str(tmp_path / 'd.npz')!r}, pairs);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert np.load(tmp_path / "d.npz")["train_labels"].tolist() == [0, 1] * 3
