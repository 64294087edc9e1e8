"""Image files to pixels.

An image is turned as its EXIF orientation says; of several frames the first counts. When all images
of a data set are grey (see pixels.py) they have one channel, otherwise all become RGB.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tutelage.data.formats.found import Options, reading
from tutelage.data.formats.pixels import bring, check_side, in_threads, to_grey_or_rgb
from tutelage.errors import UserError

_FILES_PER_TASK = 64


class Blob(NamedTuple):
    """The bytes of an image file that lie in another file, and how to name them in a message."""

    data: bytes
    where: str


def decode_all(
    files: Sequence[Path | Blob], options: Options
) -> tuple[NDArray[np.uint8], tuple[int, int, int] | None]:
    """All images, uint8 [N, H, W, C], and their height, width and channels before they were brought
    to a size; None when they were of several heights and widths.

    UserError naming the file that cannot be read or does not fit.
    """
    first, _ = _decode(files[0], options)
    images = np.empty((len(files), first.height, first.width, 3), np.uint8)
    colour = np.zeros(len(files), bool)
    sides = np.zeros((len(files), 2), np.int64)

    def fill(start: int) -> None:
        for index in range(start, min(start + _FILES_PER_TASK, len(files))):
            image, original = _decode(files[index], options)
            if image.size != first.size:
                raise UserError(
                    f"this image is {image.width}x{image.height} pixels, the first one "
                    f"{first.width}x{first.height}.",
                    where=_name(files[index]),
                    fix="Set data.size, such as 32, to bring all images to one size.",
                )
            pixels = np.asarray(image)
            images[index] = pixels if pixels.ndim == 3 else pixels[..., None]
            colour[index], sides[index] = pixels.ndim == 3, original[::-1]

    in_threads(fill, range(0, len(files), _FILES_PER_TASK))
    channels = 3 if colour.any() else 1
    one_size = bool((sides == sides[0]).all())
    original = (int(sides[0, 0]), int(sides[0, 1]), channels) if one_size else None
    return np.ascontiguousarray(images[..., :channels]), original


def decode(path: Path) -> Image.Image:
    """One image in mode L or RGB, of the size it has. UserError when it cannot be read."""
    image, _ = _decode(path, Options())
    return image


def _decode(file: Path | Blob, options: Options) -> tuple[Image.Image, tuple[int, int]]:
    """One image in mode L or RGB, brought to its size, and its width and height before."""
    where = _name(file)
    try:
        blob = isinstance(file, Blob)
        opened = io.BytesIO(file.data) if blob else file
        with nullcontext() if blob else reading(file), Image.open(opened) as picture:
            ImageOps.exif_transpose(picture, in_place=True)
            image = to_grey_or_rgb(picture, where)
    except UserError:
        raise
    except Exception as error:  # Pillow raises almost anything on a damaged file
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "its format is not known" if unknown else error
        raise UserError(
            f"this image cannot be read ({reason}).", where=where, fix="Replace it or remove it."
        ) from error
    if options.size is None:
        check_side(image.height, image.width, where)
    return bring(image, options.size, options.fit), image.size


def _name(file: Path | Blob) -> str:
    return file.where if isinstance(file, Blob) else str(file)
