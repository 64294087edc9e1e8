"""Rows of a table that name images and labels, whatever file they stand in, read into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tutelage.data.formats.decode import Blob, decode_all
from tutelage.data.formats.found import ImageSet, Options, Part, join_parts
from tutelage.data.formats.image_folder import SPLITS
from tutelage.errors import UserError


class Row(NamedTuple):
    """An image, as a file or as the bytes of one, with the name of its class and its split."""

    image: Path | Blob
    label: str
    split: str


def split_of(written: str, where: str) -> str:
    """The split that a word names, in any spelling that folders may have. Raises UserError."""
    for split, spellings in SPLITS.items():
        if written.lower() in spellings:
            return split
    raise UserError(
        f"'{written}' is no split.", where=where, fix="Write train, test or validation."
    )


def read_rows(rows: Sequence[Row], names: Sequence[str], options: Options) -> ImageSet:
    """The images of all rows by split; labels are the places of their classes in `names`.

    Raises UserError naming an image that cannot be read or does not fit.
    """
    images, original = decode_all([row.image for row in rows], options)
    number = {name: label for label, name in enumerate(names)}
    labels = np.array([number[row.label] for row in rows], np.int64)
    splits = np.array([row.split for row in rows])
    parts = {
        split: Part(images[splits == split], labels[splits == split])
        for split in SPLITS
        if (splits == split).any()
    }
    train, test = join_parts(parts)
    return ImageSet(train, test, tuple(names), original)
