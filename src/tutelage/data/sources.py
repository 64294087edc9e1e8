"""Where images come from. Every source delivers uint8 pixels and int64 labels in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.config.schema import DataConfig
from tutelage.data.image_folder import Listing, decode, list_split
from tutelage.errors import UserError, unknown

SOURCES: dict[str, str] = {
    "digits": "1,797 handwritten digits, 8x8 grey, 10 classes; ships with scikit-learn",
    "image-folder": "any folder of images: train/<class>/*.jpg and, if there is one, test/<class>/",
}

# (kind, key) -> a file for derived data, in a folder that exists; the file may not exist.
Cache = Callable[[str, str], Path]


@dataclass(frozen=True, eq=False)
class Source:
    """All images of a source, before any split.

    `images` is uint8 [N, H, W, C] (perhaps memory-mapped), `labels` int64 [N] with values below
    len(class_names). `test_images` and `test_labels` are the source's own test set, or None.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    test_images: NDArray[np.uint8] | None
    test_labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    name: str


def load_source(config: DataConfig, cache: Cache) -> Source:
    """The source that `config` names. Decoded images are kept in `cache` and memory-mapped.

    Raises UserError for an unknown source, a path that is missing, not wanted or not a folder of
    images, and for images that cannot be read or do not have one size.
    """
    if config.source == "digits":
        return _digits(config)
    if config.source == "image-folder":
        return _image_folder(config, cache)
    raise unknown("source", config.source, SOURCES, where="data.source")


def _digits(config: DataConfig) -> Source:
    """Scikit-learn's digits: grey values 0..16 become round(p * 255 / 16)."""
    if config.path is not None:
        raise UserError(
            "digits takes no path, because it ships with scikit-learn.",
            where="data.path",
            fix="Remove it, or set data.source to image-folder.",
        )
    if config.size is not None:
        raise UserError(
            "digits takes no size: its images are 8x8.", where="data.size", fix="Remove it."
        )
    from sklearn.datasets import load_digits  # takes a second to import

    grey, labels = load_digits(return_X_y=True)
    images = np.rint(np.asarray(grey) * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    names = tuple(str(digit) for digit in range(10))
    return Source(images, np.asarray(labels, dtype=np.int64), None, None, names, "digits")


def _image_folder(config: DataConfig, cache: Cache) -> Source:
    root = _folder(config.path)
    train = list_split(root / "train")
    if len(train.class_names) < 2:
        raise UserError(
            "there is only one class folder.",
            where=str(train.root),
            fix="A study needs two classes or more, each in a folder of its own.",
        )
    images = decode(train, config.size, cache)
    test_images = test_labels = None
    if os.path.isdir(root / "test"):
        test = list_split(root / "test")
        _same_classes(train, test)
        test_images, test_labels = decode(test, config.size, cache), test.labels
        if test_images.shape[1:] != images.shape[1:]:
            side, other = images.shape[1], test_images.shape[1]
            raise UserError(
                f"its images have a side of {other} pixels, those of train/ of {side}.",
                where=str(test.root),
                fix=f"Set data.size, such as {side}.",
            )
    return Source(images, train.labels, test_images, test_labels, train.class_names, "image-folder")


def _folder(path: str | None) -> Path:
    """The folder that holds train/, or a UserError that says what to give instead."""
    if not path:
        raise UserError(
            "the folder of images is not named.",
            where="data.path",
            fix="Say where it is: --data PATH.",
        )
    root = Path(os.path.expanduser(path))
    if not os.path.exists(root):
        raise UserError(
            "there is no such folder.",
            where=str(root),
            fix="Say where the images are: --data PATH.",
        )
    if not os.path.isdir(root):
        raise UserError(
            "this is not a folder.", where=str(root), fix="Name the folder that holds train/."
        )
    if not os.path.isdir(root / "train"):
        raise UserError(
            "this folder holds no folder train/.",
            where=str(root),
            fix="Images are looked for as train/<class>/<image>.",
        )
    return root


def _same_classes(train: Listing, test: Listing) -> None:
    for one, other in ((test, train), (train, test)):
        alone = sorted(set(one.class_names) - set(other.class_names))
        if alone:
            raise UserError(
                f"class '{alone[0]}' is in {one.root.name}/ but not in {other.root.name}/.",
                where=str(one.root / alone[0]),
                fix="Both need the same class folders; without test/, a test split is drawn.",
            )
