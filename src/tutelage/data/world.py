"""A world: the train, validation and test images of one replicate, with its label noise.

Split and noise are pure functions of their seeds, drawn with NumPy's PCG64.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tutelage.config.canonical import canonical
from tutelage.config.schema import DataConfig
from tutelage.data.draw import Indices, Pool
from tutelage.data.image_files import READING_VERSION, ImageFiles, Images, taken
from tutelage.data.prepare import canonical_order
from tutelage.data.sources import Source
from tutelage.errors import UserError

NO_LABEL = -1
_PIXELS_AT_ONCE = 1 << 18
_READ_AT_ONCE = 128  # streamed images
_LOOKED_AT, _MEASURED = 2000, 10000  # of streamed training images


@dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 [N, H, W, C], or ImageFiles, with their labels int64 [N]."""

    images: Images
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class World:
    """What the runs of one replicate train on, choose by, and are tested with.

    `clean_train_labels` int64 [N] are those before the noise. `mean` and `std` are float32 [C], of
    the training pixels divided by 255; a channel that is constant has a std of 1.

    Fingerprints are SHA-256 digests of pixels (of streamed images the files), labels and the number
    of classes; they say nothing
    of names, or of where the images lay. `training_fingerprint` is that of train and validation,
    all that a training sees; `fingerprint` that of all three splits; `test_fingerprint` that of the
    test split alone.

    `unlabelled` are images beside the training images of which no label is known, with a
    fingerprint of their own. A training that sees some has them behind its training images, with
    NO_LABEL as their label.
    """

    train: Split
    validation: Split
    test: Split
    clean_train_labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    training_fingerprint: str
    fingerprint: str
    test_fingerprint: str
    unlabelled: Images | None = None
    unlabelled_fingerprint: str | None = None

    @property
    def measured(self) -> dict[str, Split]:
        """What networks are measured on, as `train`, `val` and `test`: all images, but of streamed
        training images those at `measured_places`."""
        train = self.train
        if isinstance(train.images, ImageFiles):
            places = measured_places(train)
            train = Split(train.images.take(places), train.labels[places])
        return {"train": train, "val": self.validation, "test": self.test}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)


def make_world(source: Source, config: DataConfig, split_seed: int, noise_seed: int) -> World:
    """Split `source` as `config` asks and replace some labels of train and validation.

    Numbers that `config` gives are drawn class-balanced. What has no number is taken afterwards:
    validation is a tenth of what is left, in the proportions of its classes; train is all the
    rest. Where the source has no test set of its own, test comes from the same images: all the
    rest when train has a number, else a tenth too. A subset of the source's own test set is the
    same in every world.

    Images that shall lose their labels are drawn before all others, whatever their labels are.

    Exactly round(label_noise * n) labels of train, and of validation, become another class, every
    other class being equally likely; test stays clean. Raises UserError when more images are
    asked for than there are.
    """
    unlabelled, source = _hidden(source, config, split_seed)
    chosen = _choose(source, config, split_seed)
    names, rate = source.class_names, config.label_noise
    clean = source.labels[chosen["train"]]
    train = Split(
        taken(source.images, chosen["train"]), _with_noise(clean, rate, len(names), (noise_seed, 1))
    )
    validation = Split(
        taken(source.images, chosen["validation"]),
        _with_noise(source.labels[chosen["validation"]], rate, len(names), (noise_seed, 2)),
    )
    if "test" in chosen:
        test = Split(taken(source.images, chosen["test"]), source.labels[chosen["test"]])
    else:
        test = _own_test(source, config)
    mean, std = _statistics(train.images)
    marks = _fingerprints((train, validation, test), len(names))
    mark = None
    if unlabelled is not None:
        mark = _fingerprint_of(unlabelled)
    if unlabelled is not None and isinstance(config.unlabelled, str):
        _check_unseen(unlabelled, test)
    return World(train, validation, test, clean, names, mean, std, *marks, unlabelled, mark)


def _hidden(source: Source, config: DataConfig, seed: int) -> tuple[Images | None, Source]:
    """The images without labels, and the source with those that are left. Of images that lose
    their labels here, no label is looked at."""
    if not isinstance(config.unlabelled, int):
        return source.unlabelled, source
    if config.unlabelled >= len(source.labels):
        raise UserError(
            f"{config.unlabelled} images shall lose their labels; the source has "
            f"{len(source.labels)}.",
            where="data.unlabelled",
            fix="Ask for fewer.",
        )
    rng = np.random.Generator(np.random.PCG64((seed, 3)))
    drawn = rng.permutation(len(source.labels))[: config.unlabelled]
    # The images of a source are in the order of their labels: here they are in that of pixels.
    hidden = _pixel_order(source.images)[np.sort(drawn)]
    kept = np.setdiff1d(np.arange(len(source.labels)), hidden)
    rest = replace(source, images=taken(source.images, kept), labels=source.labels[kept])
    return taken(source.images, hidden), rest


def _pixel_order(images: Images) -> Indices:
    """The places of images in an order that nothing but what they show decides."""
    if isinstance(images, ImageFiles):
        keys = images.marks.view(">u8")
        return np.lexsort((keys[:, 1], keys[:, 0]))
    return canonical_order(images, np.zeros(len(images), np.int64))


def _choose(source: Source, config: DataConfig, seed: int) -> dict[str, Indices]:
    """The images of each split that is drawn from the source's (training) images."""
    pool = Pool(source.labels, source.class_names, seed)
    asked = {"validation": config.validation, "train": config.train}
    if source.test_labels is None:
        asked = {"test": config.test, **asked}
    _check_enough(asked, pool.left)
    chosen = {
        part: pool.balanced(count, f"data.{part}")
        for part, count in asked.items()
        if count is not None
    }
    open_parts = [part for part in asked if part not in chosen]
    takes_rest = next((part for part in ("train", "test") if part in open_parts), None)
    for part in open_parts:
        if part != takes_rest:
            chosen[part] = pool.proportional(max(1, pool.left // 10))
    if takes_rest is not None:
        chosen[takes_rest] = pool.rest()
    if len(chosen["train"]) < len(source.class_names):
        raise UserError(
            f"{len(chosen['train'])} training images are too few for "
            f"{len(source.class_names)} classes.",
            where="data.train",
            fix="Each class needs at least one.",
        )
    return chosen


def _check_enough(asked: dict[str, int | None], available: int) -> None:
    given = [f"data.{part}" for part, count in asked.items() if count is not None]
    others = [part for part, count in asked.items() if count is None]
    total = sum(count for count in asked.values() if count is not None)
    if total > available:
        raise UserError(
            f"{total} images are asked for; the source has {available}.",
            where=", ".join(given),
            fix="Ask for fewer.",
        )
    if total + len(others) > available:
        raise UserError(
            f"{total} of the source's {available} images are asked for, "
            f"which leaves too few for {' and '.join(others)}.",
            where=", ".join(given) or "data.source",
            fix="Ask for fewer." if given else "Give more images.",
        )


def _check_unseen(unlabelled: Images, test: Split) -> None:
    """Raises UserError where images of test are among those without labels, of which a teacher
    would tell."""
    known = {image.tobytes() for image in unlabelled[:]}
    seen = sum(image.tobytes() in known for image in test.images[:])
    if seen:
        raise UserError(
            f"{seen} of the {len(test)} test images are among those without labels.",
            where="data.unlabelled",
            fix="Remove them there: they would be learned before they are tested.",
        )


def _own_test(source: Source, config: DataConfig) -> Split:
    """The source's own test set, or a subset of it that no seed changes."""
    assert source.test_images is not None
    assert source.test_labels is not None
    pool = Pool(source.test_labels, source.class_names, 0)
    chosen = pool.rest() if config.test is None else pool.balanced(config.test, "data.test")
    return Split(taken(source.test_images, chosen), source.test_labels[chosen])


def _with_noise(
    labels: NDArray[np.int64], rate: float, classes: int, seeds: tuple[int, int]
) -> NDArray[np.int64]:
    """`labels` with exactly round(rate * n) of them replaced by another class.

    At a higher rate the same labels are replaced by the same classes, and some more.
    """
    rng = np.random.Generator(np.random.PCG64(seeds))
    replaced = rng.permutation(len(labels))[: round(rate * len(labels))]
    steps = rng.integers(1, classes, len(labels))
    noisy = labels.copy()
    noisy[replaced] = (labels[replaced] + steps[replaced]) % classes
    return noisy


def _statistics(images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each channel of images / 255, float32 [C].

    Summed in whole numbers from counts of the 256 values, so that every machine gets the same. Of
    streamed images, 2,000 that are evenly spread stand for all.
    """
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for part in _looked_at(images):
        pixels = part.reshape(-1, part.shape[-1])
        for start in range(0, len(pixels), _PIXELS_AT_ONCE):
            for channel, column in enumerate(pixels[start : start + _PIXELS_AT_ONCE].T):
                counts[channel] += np.bincount(column, minlength=256)
    means, stds = [], []
    for own in counts.tolist():
        count = sum(own)
        total = sum(value * number for value, number in enumerate(own))
        squares = sum(value**2 * number for value, number in enumerate(own))
        means.append(total / (255 * count))
        stds.append(math.sqrt(count * squares - total**2) / (255 * count) or 1.0)
    return np.array(means, np.float32), np.array(stds, np.float32)


def _looked_at(images: Images) -> Iterator[NDArray[np.uint8]]:
    """The pixels of all images, or, some at a time, of _LOOKED_AT streamed ones."""
    if not isinstance(images, ImageFiles):
        yield images
        return
    places = _spread(len(images), _LOOKED_AT)
    for start in range(0, len(places), _READ_AT_ONCE):
        yield images[places[start : start + _READ_AT_ONCE]]


def measured_places(train: Split) -> Indices:
    """Which of the training images networks are measured on: all, but of streamed ones 10,000 that
    are evenly spread, because logits of 1,000 classes of all of them would fill the store."""
    streamed = isinstance(train.images, ImageFiles)
    return _spread(len(train), _MEASURED if streamed else len(train))


def _spread(count: int, most: int) -> Indices:
    """At most so many of `count` places, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def _fingerprints(splits: tuple[Split, Split, Split], classes: int) -> tuple[str, str, str]:
    """The fingerprints of train and validation, of all three splits, and of test alone."""
    sha = hashlib.sha256(canonical([classes]).encode())
    marks = []
    for split in splits:
        _take_in(sha, split)
        marks.append(sha.hexdigest())
    test = hashlib.sha256()
    _take_in(test, splits[2])
    return marks[1], marks[2], test.hexdigest()


def _fingerprint_of(images: Images) -> str:
    sha = hashlib.sha256()
    _take_in_images(sha, images)
    return sha.hexdigest()


def _take_in_images(sha: hashlib._Hash, images: Images) -> None:
    sha.update(canonical(list(images.shape)).encode())
    if isinstance(images, ImageFiles):
        sha.update(canonical(["streamed", READING_VERSION]).encode())
        sha.update(images.marks.data)
    else:
        sha.update(np.ascontiguousarray(images).data)


def _take_in(sha: hashlib._Hash, split: Split) -> None:
    _take_in_images(sha, split.images)
    sha.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
