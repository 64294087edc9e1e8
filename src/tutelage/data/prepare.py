"""From what a format delivers to what is kept: checked, of one size, in canonical order."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from tutelage.data.formats import ImageSet, Options, Part
from tutelage.data.formats.labels import check_classes
from tutelage.data.formats.pixels import bring_all, check_side


def prepare(data: ImageSet, options: Options, where: str) -> ImageSet:
    """`data` with sensible labels, images of the asked size, and both in canonical order.

    UserError naming `where` when a class lacks images, or images are too large to keep their size.
    """
    check_classes(data, where)
    if options.size is None:
        height, width = data.train.images.shape[1:3]
        check_side(height, width, where)

    def prepared(part: Part) -> Part:
        images = bring_all(part.images, options.size, options.fit)
        order = canonical_order(images, part.labels)
        return Part(images[order], part.labels[order])

    test = None if data.test is None else prepared(data.test)
    return replace(data, train=prepared(data.train), test=test)


def canonical_order(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """The order by label, then by a 128-bit hash (BLAKE2b) of an image's pixels.

    It depends on nothing but pixels and labels, so that the same images are the same data set in
    whatever format and order they come. Equal images of one class are interchangeable.
    """
    keys = pixel_marks(images).view(">u8")
    return np.lexsort((keys[:, 1], keys[:, 0], labels))


def pixel_marks(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A 128-bit hash (BLAKE2b) of the pixels of each of the images [N, H, W, C]: [N, 2]."""
    rows = np.ascontiguousarray(images).reshape(len(images), -1)
    hashes = b"".join(blake2b(row.data, digest_size=16).digest() for row in rows)
    return np.frombuffer(hashes, np.int64).reshape(-1, 2)
