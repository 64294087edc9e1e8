"""The same pixels are the same source, bit for bit, whatever format and order they come in."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written_formats import (
    CIFAR10,
    Arrays,
    dump_py2,
    dump_py3,
    idx_bytes,
    make_arrays,
    write_cifar10_binary,
    write_cifar10_pickles,
    write_cifar100_binary,
    write_cifar100_pickles,
    write_csv,
    write_folder,
    write_idx,
    write_npz,
    write_parquet,
    write_saved,
)

from tutelage.config.schema import DataConfig
from tutelage.data import Source, load_source, make_world
from tutelage.data.named_sets import NAMED_SETS

FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
CIFAR100 = NAMED_SETS["cifar100"].class_names


def assert_same(one: Source, other: Source) -> None:
    assert one.class_names == other.class_names
    for name in ("images", "labels", "test_images", "test_labels"):
        first, second = getattr(one, name), getattr(other, name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)


def load_all(cache, source: str, paths: list[Path], **options) -> list[Source]:
    return [
        load_source(DataConfig(source=source, path=str(path), **options), cache) for path in paths
    ]


def write_every_cifar10(root: Path, arrays: Arrays) -> list[Path]:
    """Each format once: some as their folder, some as the folder above it."""
    write_cifar10_binary(root / "b" / "cifar-10-batches-bin", arrays)
    write_cifar10_pickles(root / "p" / "cifar-10-batches-py", arrays, dump_py2)
    shuffled = np.random.default_rng(3).permutation(len(arrays.train))
    mixed = arrays._replace(
        train=arrays.train[shuffled], train_labels=arrays.train_labels[shuffled]
    )
    return [
        write_folder(root / "folder", arrays, CIFAR10),
        write_csv(root / "labels.csv", root / "folder"),
        write_parquet(root / "parquet", arrays, CIFAR10),
        write_saved(root / "saved", arrays, CIFAR10),
        root / "b",
        root / "b" / "cifar-10-batches-bin",
        root / "p",
        *(
            write_cifar10_pickles(root / f"p{protocol}", arrays, dump_py3(protocol))
            for protocol in range(2, 6)
        ),
        write_npz(root / "one.npz", mixed),
        write_npz(root / "n" / "one.npz", mixed, class_names=np.array(CIFAR10)).parent,
    ]


@pytest.fixture(scope="module")
def cifar10_arrays() -> Arrays:
    """200 and 50 images a class of real CIFAR-10, where TUTELAGE_CIFAR10 names a folder of it."""
    real = os.environ.get("TUTELAGE_CIFAR10")
    if not real:
        return make_arrays(each=20, test_each=5)
    made = []
    for split, count in (("train", 200), ("test", 50)):
        files = [
            (file, label)
            for label, name in enumerate(CIFAR10)
            for file in sorted((Path(real) / split / name).iterdir())[:count]
        ]
        assert len(files) == 10 * count
        made += [
            np.stack([np.asarray(Image.open(file)) for file, _ in files]),
            np.array([label for _, label in files]),
        ]
    return Arrays(*made)


@pytest.mark.parametrize("size", [None, 16, 40])
def test_cifar10_in_every_format(cache, tmp_path, cifar10_arrays, size):
    paths = write_every_cifar10(tmp_path, cifar10_arrays)
    first, *others = load_all(cache, "cifar10", paths, size=size)
    side = size or 32
    assert first.images.shape == (len(cifar10_arrays.train), side, side, 3)
    for other in others:
        assert_same(first, other)
    asked = DataConfig(source="cifar10", train=50, validation=20, label_noise=0.2)
    prints = {make_world(source, asked, 1, 2).fingerprint for source in (first, *others)}
    assert len(prints) == 1


def test_the_pixels_are_those_that_were_written(cache, tmp_path, cifar10_arrays):
    path = write_cifar10_binary(tmp_path / "b", cifar10_arrays)
    (source,) = load_all(cache, "cifar10", [path])
    written = zip(cifar10_arrays.train, cifar10_arrays.train_labels, strict=True)
    read = zip(source.images, source.labels, strict=True)
    assert sorted((int(n), p.tobytes()) for p, n in written) == sorted(
        (int(n), p.tobytes()) for p, n in read
    )
    assert (np.diff(source.labels) >= 0).all()


def test_cifar100_in_every_format(cache, tmp_path):
    arrays = make_arrays(classes=100, each=2, test_each=1)
    write_cifar100_binary(tmp_path / "b" / "cifar-100-binary", arrays, CIFAR100)
    write_cifar100_pickles(tmp_path / "p" / "cifar-100-python", arrays, CIFAR100, dump_py2)
    paths = [
        tmp_path / "b",
        tmp_path / "p",
        write_cifar100_pickles(tmp_path / "p5", arrays, CIFAR100, dump_py3(5)),
        write_folder(tmp_path / "f", arrays, CIFAR100),
        write_npz(tmp_path / "a.npz", arrays),
    ]
    first, *others = load_all(cache, "cifar100", paths)
    assert first.class_names == CIFAR100
    for other in others:
        assert_same(first, other)


def test_fashion_mnist_in_every_format(cache, tmp_path):
    arrays = make_arrays(shape=(28, 28, 1))
    names = [n.replace("/", "_") for n in NAMED_SETS["fashion-mnist"].class_names]
    paths = [
        write_idx(tmp_path / "plain", arrays),
        write_idx(tmp_path / "gz", arrays, zipped=True),
        write_idx(tmp_path / "dots", arrays, joint="."),
        write_idx(tmp_path / "torchvision" / "FashionMNIST" / "raw", arrays).parent.parent,
        write_folder(tmp_path / "named", arrays, names),  # whose alphabetical order is another
        write_folder(tmp_path / "numbered", arrays, [str(n) for n in range(10)], test="val"),
        write_npz(tmp_path / "a.npz", arrays._replace(train=arrays.train[..., 0])),
    ]
    first, *others = load_all(cache, "fashion-mnist", paths)
    assert first.images.shape == (60, 28, 28, 1)
    assert first.class_names[0] == "T-shirt/top"
    for other in others:
        assert_same(first, other)


@pytest.mark.skipif(not FASHION.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_real_fashion_mnist(cache, tmp_path):
    files = {
        path.name.removesuffix(".gz"): gzip.decompress(path.read_bytes())
        for path in sorted(FASHION.glob("*.gz"))
    }
    train, test = (
        np.frombuffer(files[f"{part}-images-idx3-ubyte"], np.uint8, offset=16).reshape(
            -1, 28, 28, 1
        )
        for part in ("train", "t10k")
    )
    labels, test_labels = (
        np.frombuffer(files[f"{part}-labels-idx1-ubyte"], np.uint8, offset=8)
        for part in ("train", "t10k")
    )
    assert len(train) == 60_000
    (tmp_path / "plain").mkdir()
    for name, data in files.items():
        (tmp_path / "plain" / name).write_bytes(data)
    assert files["train-images-idx3-ubyte"] == idx_bytes(train[..., 0])
    whole = Arrays(train, labels, test, test_labels)
    assert_same(*load_all(cache, "fashion-mnist", [FASHION, tmp_path / "plain"]))
    part = Arrays(*(values[:1000] for values in whole))
    names = [str(n) for n in range(10)]
    paths = [
        write_idx(tmp_path / "idx", part),
        write_folder(tmp_path / "folder", part, names),
        write_npz(tmp_path / "part.npz", part),
    ]
    for size in (None, 14):
        first, *others = load_all(cache, "fashion-mnist", paths, size=size)
        for other in others:
            assert_same(first, other)
