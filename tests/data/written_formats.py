"""Writers of every data format, from plain arrays, by other means than those of the readers."""

from __future__ import annotations

import gzip
import pickle
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Arrays(NamedTuple):
    """Images uint8 [N, H, W, C] and labels [N] of train and test."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def make_arrays(
    classes: int = 10,
    shape: tuple[int, ...] = (32, 32, 3),
    each: int = 6,
    test_each: int = 2,
    seed: int = 0,
) -> Arrays:
    """Random images, every class `each` and `test_each` times, in a random order."""
    rng = np.random.default_rng(seed)
    made = []
    for count in (each, test_each):
        labels = rng.permutation(np.repeat(np.arange(classes), count))
        made += [rng.integers(0, 256, (len(labels), *shape), dtype=np.uint8), labels]
    return Arrays(*made)


def rows(images: np.ndarray) -> np.ndarray:
    """[N, 32, 32, 3] as CIFAR's rows [N, 3072]: red, green and blue planes."""
    return np.ascontiguousarray(np.moveaxis(images, 3, 1).reshape(len(images), -1))


def batches(arrays: Arrays) -> list[tuple[np.ndarray, np.ndarray]]:
    """The training images in five batches."""
    parts = np.array_split(arrays.train, 5), np.array_split(arrays.train_labels, 5)
    return list(zip(*parts, strict=True))


def write_cifar10_binary(folder: Path, arrays: Arrays, names: Sequence[str] = CIFAR10) -> Path:
    folder.mkdir(parents=True)
    parts = {f"data_batch_{n}.bin": part for n, part in enumerate(batches(arrays), 1)}
    parts["test_batch.bin"] = (arrays.test, arrays.test_labels)
    for name, (images, labels) in parts.items():
        records = zip(rows(images), labels, strict=True)
        (folder / name).write_bytes(b"".join(bytes([n]) + row.tobytes() for row, n in records))
    (folder / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    return folder


def write_cifar100_binary(folder: Path, arrays: Arrays, names: Sequence[str]) -> Path:
    folder.mkdir(parents=True)
    parts = {
        "train.bin": (arrays.train, arrays.train_labels),
        "test.bin": (arrays.test, arrays.test_labels),
    }
    for name, (images, labels) in parts.items():
        records = zip(rows(images), labels, strict=True)
        (folder / name).write_bytes(
            b"".join(bytes([n // 5, n]) + row.tobytes() for row, n in records)
        )
    (folder / "fine_label_names.txt").write_text("\n".join(names) + "\n")
    return folder


Dump = Callable[[Any], bytes]


def write_cifar10_pickles(folder: Path, arrays: Arrays, dump: Dump) -> Path:
    folder.mkdir(parents=True)
    parts = {f"data_batch_{n}": part for n, part in enumerate(batches(arrays), 1)}
    parts["test_batch"] = (arrays.test, arrays.test_labels)
    for name, (images, labels) in parts.items():
        content = {
            "batch_label": name.replace("_", " "),
            "labels": [int(n) for n in labels],
            "data": rows(images),
            "filenames": [f"image_{i}.png" for i in range(len(labels))],
        }
        (folder / name).write_bytes(dump(content))
    meta = {"num_cases_per_batch": 10000, "label_names": list(CIFAR10), "num_vis": 3072}
    (folder / "batches.meta").write_bytes(dump(meta))
    return folder


def write_cifar100_pickles(folder: Path, arrays: Arrays, names: Sequence[str], dump: Dump) -> Path:
    folder.mkdir(parents=True)
    parts = {
        "train": (arrays.train, arrays.train_labels),
        "test": (arrays.test, arrays.test_labels),
    }
    for name, (images, labels) in parts.items():
        content = {
            "filenames": [f"image_{i}.png" for i in range(len(labels))],
            "fine_labels": [int(n) for n in labels],
            "coarse_labels": [int(n) // 5 for n in labels],
            "data": rows(images),
        }
        (folder / name).write_bytes(dump(content))
    meta = {"fine_label_names": list(names), "coarse_label_names": ["a"] * 20}
    (folder / "meta").write_bytes(dump(meta))
    return folder


def dump_py3(protocol: int) -> Dump:
    return lambda value: pickle.dumps(value, protocol)


def dump_py2(value: Any) -> bytes:
    """`value` as Python 2's cPickle writes it at protocol 2: every text is a byte string."""
    return b"\x80\x02" + _py2(value) + b"."


def _py2(value: Any) -> bytes:  # noqa: PLR0911
    if isinstance(value, str):
        return _py2(value.encode())
    if isinstance(value, bytes):
        short = b"U" + bytes([len(value)]) if len(value) < 256 else b""
        return (short or b"T" + struct.pack("<i", len(value))) + value
    if isinstance(value, int):
        return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
    if value is None:
        return b"N"
    if isinstance(value, list):
        return b"](" + b"".join(map(_py2, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_py2, value)) + b"t"
    if isinstance(value, dict):
        items = b"".join(_py2(key) + _py2(item) for key, item in value.items())
        return b"}(" + items + b"u"
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.uint8
    make = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nq\x02K\x00\x85U\x01btRq\x03"
    )
    dtype = b"cnumpy\ndtype\nq\x04" + _py2(("u1", 0, 1)) + b"Rq\x05"
    dtype += _py2((3, "|", None, None, None, -1, -1, 0)) + b"b"
    state = b"(K\x01" + _py2(tuple(value.shape)) + dtype + b"K\x00" + _py2(value.tobytes()) + b"t"
    return make + state + b"b"


def write_folder(
    root: Path, arrays: Arrays, names: Sequence[str], *, test: str = "test", shuffle: int = 7
) -> Path:
    """PNG files with names that tell nothing of their order."""
    rng = np.random.default_rng(shuffle)
    splits = {
        "train": (arrays.train, arrays.train_labels),
        test: (arrays.test, arrays.test_labels),
    }
    for split, (images, labels) in splits.items():
        order = rng.permutation(len(images))
        for number, (pixels, label) in enumerate(zip(images[order], labels[order], strict=True)):
            path = root / split / names[label] / f"{number:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
    return root


def idx_bytes(values: np.ndarray) -> bytes:
    """An idx file of bytes."""
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(np.uint8).tobytes()


def write_idx(folder: Path, arrays: Arrays, *, joint: str = "-", zipped: bool = False) -> Path:
    folder.mkdir(parents=True)
    parts = {
        f"train-images{joint}idx3-ubyte": arrays.train[..., 0],
        f"train-labels{joint}idx1-ubyte": arrays.train_labels,
        f"t10k-images{joint}idx3-ubyte": arrays.test[..., 0],
        f"t10k-labels{joint}idx1-ubyte": arrays.test_labels,
    }
    for name, values in parts.items():
        data = idx_bytes(values)
        path = folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(data) if zipped else data)
    return folder


def write_npz(path: Path, arrays: Arrays, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        train_images=arrays.train,
        train_labels=arrays.train_labels,
        test_images=arrays.test,
        test_labels=arrays.test_labels,
        **more,
    )
    return path


def write_csv(file: Path, folder: Path) -> Path:
    """The images of a folder that `write_folder` made, listed in reverse order."""
    lines = [
        f"{image},{image.parent.name},{image.parent.parent.name}"
        for image in sorted(folder.glob("*/*/*.png"), reverse=True)
    ]
    file.write_text("\n".join(["path,label,split", *lines]) + "\n")
    return file


def to_datasets(arrays: Arrays, names: Sequence[str]) -> Any:
    """A DatasetDict of Hugging Face: train and test in reverse order, images as PNG."""
    import datasets

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
    )
    columns = {
        "train": (arrays.train[::-1], arrays.train_labels[::-1]),
        "test": (arrays.test[::-1], arrays.test_labels[::-1]),
    }
    return datasets.DatasetDict({
        split: datasets.Dataset.from_dict(
            {"image": [Image.fromarray(image) for image in images], "label": labels.tolist()},
            features=features,
        )
        for split, (images, labels) in columns.items()
    })  # fmt: skip


def write_parquet(folder: Path, arrays: Arrays, names: Sequence[str]) -> Path:
    """Parquet files as a hub has them: two of train and one of test, in data/."""
    found = to_datasets(arrays, names)
    (folder / "data").mkdir(parents=True)
    for shard in range(2):
        part = found["train"].shard(2, shard)
        part.to_parquet(str(folder / "data" / f"train-0000{shard}-of-00002.parquet"))
    found["test"].to_parquet(str(folder / "data" / "test-00000-of-00001.parquet"))
    return folder


def write_saved(folder: Path, arrays: Arrays, names: Sequence[str]) -> Path:
    """What save_to_disk writes."""
    to_datasets(arrays, names).save_to_disk(str(folder))
    return folder
