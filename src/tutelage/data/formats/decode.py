"""Image files to pixels.

An image is turned as its EXIF orientation says; of several frames the first counts. When all images
of a data set are grey (see pixels.py) they have one channel, otherwise all become RGB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tutelage.data.formats.found import Options, reading
from tutelage.data.formats.pixels import bring, check_side, in_threads, to_grey_or_rgb
from tutelage.errors import UserError

_FILES_PER_TASK = 64


def decode_all(
    paths: list[Path], options: Options
) -> tuple[NDArray[np.uint8], tuple[int, int, int] | None]:
    """All images, uint8 [N, H, W, C], and their height, width and channels before they were brought
    to a size; None when they were of several heights and widths.

    UserError naming the file that cannot be read or does not fit.
    """
    first, _ = _decode(paths[0], options)
    images = np.empty((len(paths), first.height, first.width, 3), np.uint8)
    colour = np.zeros(len(paths), bool)
    sides = np.zeros((len(paths), 2), np.int64)

    def fill(start: int) -> None:
        for index in range(start, min(start + _FILES_PER_TASK, len(paths))):
            image, original = _decode(paths[index], options)
            if image.size != first.size:
                raise UserError(
                    f"this image is {image.width}x{image.height} pixels, the first one "
                    f"{first.width}x{first.height}.",
                    where=str(paths[index]),
                    fix="Set data.size, such as 32, to bring all images to one size.",
                )
            pixels = np.asarray(image)
            images[index] = pixels if pixels.ndim == 3 else pixels[..., None]
            colour[index], sides[index] = pixels.ndim == 3, original[::-1]

    in_threads(fill, range(0, len(paths), _FILES_PER_TASK))
    channels = 3 if colour.any() else 1
    one_size = bool((sides == sides[0]).all())
    original = (int(sides[0, 0]), int(sides[0, 1]), channels) if one_size else None
    return np.ascontiguousarray(images[..., :channels]), original


def decode(path: Path) -> Image.Image:
    """One image in mode L or RGB, of the size it has. UserError when it cannot be read."""
    image, _ = _decode(path, Options())
    return image


def _decode(path: Path, options: Options) -> tuple[Image.Image, tuple[int, int]]:
    """One image in mode L or RGB, brought to its size, and its width and height before."""
    try:
        with reading(path), Image.open(path) as file:
            ImageOps.exif_transpose(file, in_place=True)
            image = to_grey_or_rgb(file, str(path))
    except UserError:
        raise
    except Exception as error:  # Pillow raises almost anything on a damaged file
        raise UserError(
            f"this image cannot be read ({error}).", where=str(path), fix="Replace it or remove it."
        ) from error
    if options.size is None:
        check_side(image.height, image.width, str(path))
    return bring(image, options.size, options.fit), image.size
