"""Parts of the training images, for networks that are trained without one of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tutelage.config.canonical import digest
from tutelage.data.image_files import taken
from tutelage.data.world import Split, World
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
