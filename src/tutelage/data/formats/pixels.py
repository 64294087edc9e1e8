"""From images and arrays of any kind to uint8 pixels of one size: the same rule in every format.

*Size.* With a size S, an image becomes S x S. `crop` takes the largest central square first (of an
odd margin the smaller half is cut at the left or top), `stretch` takes the image whole. Then width
and height are changed one after the other: a side that shrinks is averaged over boxes, one that
grows is interpolated linearly between pixels (Pillow's BOX and BILINEAR); one that fits stays.

*Colour.* Grey is one channel, everything else RGB; alpha is dropped, not blended.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tutelage.errors import UserError

LARGEST_SIDE = 512  # without data.size; beyond it a data set does not fit in memory
_GREY_MODES = ("1", "L", "LA")
_IMAGES_PER_TASK = 256


def to_grey_or_rgb(image: Image.Image, where: str) -> Image.Image:
    """`image` in mode L if it is grey (modes 1, L and LA), in RGB otherwise.

    UserError when it has more than 8 bits a channel.
    """
    if image.mode.startswith(("I", "F")):
        raise UserError(
            "this image has more than 8 bits a channel.",
            where=where,
            fix="Convert it to 8 bits a channel.",
        )
    if image.mode in _GREY_MODES:
        return image.convert("L")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns when it drops such an alpha by itself
    return image.convert("RGB")


def bring(image: Image.Image, size: int | None, fit: Literal["crop", "stretch"]) -> Image.Image:
    """`image` (mode L or RGB) with sides of `size` pixels; as it is when `size` is None."""
    if size is None:
        return image
    width, height = image.size
    if fit == "crop" and width != height:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    image = image.resize((size, image.height), _filter(image.width, size))
    return image.resize((size, size), _filter(image.height, size))


def _filter(old: int, new: int) -> Image.Resampling:
    return Image.Resampling.BOX if new <= old else Image.Resampling.BILINEAR


def bring_all(
    images: NDArray[np.uint8], size: int | None, fit: Literal["crop", "stretch"]
) -> NDArray[np.uint8]:
    """Images uint8 [N, H, W, C], C being 1 or 3, as [N, size, size, C]; see `bring`."""
    count, *shape, channels = images.shape
    if size is None or shape == [size, size]:
        return images
    brought = np.empty((count, size, size, channels), np.uint8)

    def fill(start: int) -> None:
        for index in range(start, min(start + _IMAGES_PER_TASK, count)):
            pixels = images[index, :, :, 0] if channels == 1 else images[index]
            image = bring(Image.fromarray(np.ascontiguousarray(pixels)), size, fit)
            brought[index] = np.asarray(image).reshape(size, size, channels)

    in_threads(fill, range(0, count, _IMAGES_PER_TASK))
    return brought


def in_threads(task: Callable[[int], None], arguments: range) -> None:
    """Call `task` with each of `arguments`. Of several errors, that of the first is raised."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # more would only wait for each other
        for _ in pool.map(task, arguments):
            pass


def check_side(height: int, width: int, where: str) -> None:
    """UserError when an image that keeps its size is too large."""
    if max(height, width) > LARGEST_SIDE:
        raise UserError(
            f"an image of {width}x{height} pixels is too large: a side is over {LARGEST_SIDE}.",
            where=where,
            fix="Set data.size, such as 64, to reduce all images.",
        )


def to_bytes(values: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """Pixels as uint8: those of uint8 as they are, a floating p in [0, 1] as round(255 p).

    UserError for another type, and for a value that is not in [0, 1] with the index of the first.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":
        raise UserError(
            f"the images are {values.dtype}; they must be uint8, or floats from 0 to 1.",
            where=where,
            fix="Whole numbers from 0 to 255: convert them with .astype(numpy.uint8).",
        )
    pixels = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _IMAGES_PER_TASK):
        part = values[start : start + _IMAGES_PER_TASK].astype(np.float64)
        good = (part >= 0) & (part <= 1)
        if not good.all():
            first = np.unravel_index(int(np.argmin(good)), good.shape)
            index = ", ".join(str(int(i)) for i in (start + first[0], *first[1:]))
            raise UserError(
                f"the value at [{index}] is {part[first]:.6g}; floating pixels are from 0 to 1.",
                where=where,
                fix="Leave out any normalisation, or save whole numbers from 0 to 255 as uint8.",
            )
        pixels[start : start + len(part)] = np.rint(part * 255)
    return pixels
