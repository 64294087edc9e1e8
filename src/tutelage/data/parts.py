"""Parts of the training images, for networks that are trained without one of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tutelage.config.canonical import digest
from tutelage.data.image_files import joined, taken
from tutelage.data.world import NO_LABEL, Split, World
from tutelage.errors import UserError


def parts_of(labels: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """Which of so many parts (0, 1, ...) each image belongs to, int64 [N].

    A pure function of the labels and the number: each class is dealt out evenly, in an order that
    is drawn, and the next class goes on where the last one stopped.
    """
    rng = np.random.Generator(np.random.PCG64([parts, len(labels)]))
    found, dealt = np.empty(len(labels), np.int64), 0
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        found[own] = (dealt + np.arange(len(own))) % parts
        dealt += len(own)
    return found


def without_part(world: World, part: int, parts: int) -> World:
    """The world whose training images leave out part `part` of `parts` (see `parts_of`).

    It is normalised by the figures of all images, as whoever asks its networks does.
    """
    kept = np.flatnonzero(parts_of(world.train.labels, parts) != part)
    train = Split(taken(world.train.images, kept), world.train.labels[kept])
    marks = (
        digest(["without", part, parts, mark])
        for mark in (world.training_fingerprint, world.fingerprint)
    )
    training_fingerprint, fingerprint = marks
    return replace(
        world, train=train, clean_train_labels=world.clean_train_labels[kept],
        training_fingerprint=training_fingerprint, fingerprint=fingerprint,
    )  # fmt: skip


_HALF = {"half-a": 0, "half-b": 1}


def trained_on(world: World, images: str | None, unlabelled: str | None) -> World:
    """The world of a training that sees a half of the training images (None: all), and beside them,
    behind them, those of `unlabelled` without their labels: the other half, or `extra`.

    It is normalised as every training of the world is.
    """
    seen = world if images is None else without_part(world, 1 - _HALF[images], 2)
    mark, fingerprint = (
        trained_mark(each, images, unlabelled, world.unlabelled_fingerprint)
        for each in (world.training_fingerprint, world.fingerprint)
    )
    if unlabelled is None:
        return seen
    if unlabelled == "extra":
        assert world.unlabelled is not None, "a study that names them has some"
        hidden = world.unlabelled
    else:
        hidden = without_part(world, 1 - _HALF[unlabelled], 2).train.images
    none = np.full(len(hidden), NO_LABEL, np.int64)
    labels, clean = (
        np.concatenate([known, none]) for known in (seen.train.labels, seen.clean_train_labels)
    )
    return replace(
        seen, train=Split(joined(seen.train.images, hidden), labels), clean_train_labels=clean,
        training_fingerprint=mark, fingerprint=fingerprint,
    )  # fmt: skip


def trained_mark(
    mark: str, images: str | None, unlabelled: str | None, extra: str | None = None
) -> str:
    """The fingerprint of what a training sees (see `trained_on`), where `mark` is that of the world
    and `extra` that of its images without labels."""
    if images is not None:
        mark = digest(["without", 1 - _HALF[images], 2, mark])
    if unlabelled is not None:
        mark = digest(["unlabelled", extra if unlabelled == "extra" else unlabelled, mark])
    return mark


def trained_count(
    train: int, extra: int, images: str | None, unlabelled: str | None
) -> tuple[int, int]:
    """How many images with labels, and how many without, a training sees, of so many training
    images and extra ones."""
    halves = {"half-a": train - train // 2, "half-b": train // 2, "extra": extra}
    labelled = train if images is None else halves[images]
    return labelled, 0 if unlabelled is None else halves[unlabelled]


def check_parts(world: World, parts: int, where: str) -> None:
    """Raises UserError where some class has fewer training images than there are parts."""
    labels, counts = np.unique(world.train.labels, return_counts=True)
    fewest = int(counts.argmin())
    if counts[fewest] < parts:
        name = world.class_names[labels[fewest]]
        raise UserError(
            f"of class {name} there are {counts[fewest]} training images, fewer than the {parts} "
            "parts.",
            where=where,
            fix=f"Set it to {max(2, int(counts[fewest]))} or less, or take more images "
            "(data.train).",
        )
