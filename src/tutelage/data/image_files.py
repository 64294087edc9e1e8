"""Images that stay in their files: what an array of pixels is to splits that do not fit in memory.

An image is decoded each time it is asked for, always to the same pixels, whoever asks and beside
whatever others. Nothing here keeps pixels.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tutelage.data.formats.found import reading
from tutelage.data.formats.pixels import to_grey_or_rgb
from tutelage.errors import UserError

READING_VERSION = 1  # raised when the same file becomes other pixels
CENTRAL = 0.875
"""Side of the square that is evaluated, of the shorter side: 224 of 256 pixels, as is usual."""

_AHEAD = 3  # batches in work: one that is used, two that are being decoded
_PER_TASK = 8  # images that a thread decodes at a time
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # of EXIF: those that exchange width and height

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels
Crop = Callable[[int, int], tuple[Box, bool]]  # (width, height) -> the box, and whether to mirror


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Some of the images in a folder, each brought to `size` x `size` pixels in RGB.

    `names` bytes [M] are paths relative to `root`, `digests` uint8 [M, 16] say what is in the
    files, and `chosen` int64 [N] which of them these images are, in order. `threads` decode; how
    many there are changes no pixel.
    """

    root: Path
    names: NDArray[np.bytes_]
    digests: NDArray[np.uint8]
    chosen: NDArray[np.int64]
    size: int
    threads: int = os.cpu_count() or 1

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, height, width, channels) of the array that these images would be."""
        return len(self), self.size, self.size, 3

    @property
    def nbytes(self) -> int:
        """Bytes that the array would have."""
        return math.prod(self.shape)

    @property
    def marks(self) -> NDArray[np.uint8]:
        """What is in the file of each image, uint8 [N, 16]: equal for equal files alone."""
        return self.digests[self.chosen]

    def take(self, index: NDArray[np.integer]) -> ImageFiles:
        """The images at these places, still in their files."""
        return replace(self, chosen=self.chosen[index])

    def path(self, place: int) -> Path:
        """Where the image at that place lies."""
        return self.root / os.fsdecode(bytes(self.names[self.chosen[place]]))

    def __getitem__(self, which: slice | NDArray[np.integer]) -> NDArray[np.uint8]:
        """The central squares of some images as pixels, uint8 [n, size, size, 3]."""
        places = np.arange(len(self))[which]
        return next(self.batches([places], [evaluated(places)]))

    def batches(
        self, index: Sequence[NDArray[np.integer]], crops: Iterable[Sequence[Crop]]
    ) -> Iterator[NDArray[np.uint8]]:
        """Batch after batch of pixels, uint8 [B, size, size, 3]: of the images at `index[b]` what
        `crops[b]` cut out. While one is used, the next are decoded; no more than that is held.

        Raises UserError naming the first file of a batch that cannot be read.
        """
        with ThreadPoolExecutor(self.threads, thread_name_prefix="decode") as pool:
            work: deque[tuple[NDArray[np.uint8], list[Future[None]]]] = deque()
            try:
                for places, cut in zip(index, crops, strict=True):
                    work.append(self._submit(pool, places, cut))
                    if len(work) == _AHEAD:
                        yield _finished(*work.popleft())
                while work:
                    yield _finished(*work.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _submit(
        self, pool: ThreadPoolExecutor, places: NDArray[np.integer], crops: Sequence[Crop]
    ) -> tuple[NDArray[np.uint8], list[Future[None]]]:
        pixels = np.empty((len(places), *self.shape[1:]), np.uint8)

        def fill(start: int) -> None:
            for i in range(start, min(start + _PER_TASK, len(places))):
                pixels[i] = decode_crop(self.path(int(places[i])), self.size, crops[i])

        return pixels, [pool.submit(fill, i) for i in range(0, len(places), _PER_TASK)]


# What is indexed as an array of pixels, uint8 [N, H, W, C], in memory or not.
Images: TypeAlias = NDArray[np.uint8] | ImageFiles


def taken(images: Images, index: NDArray[np.integer]) -> Images:
    """The images at these places: pixels in memory are copied, files stay where they are."""
    return images.take(index) if isinstance(images, ImageFiles) else images[index]


def joined(first: Images, second: Images) -> Images:
    """The images of both, one after the other; files are files of one folder."""
    if isinstance(first, ImageFiles) and isinstance(second, ImageFiles):
        return replace(first, chosen=np.concatenate([first.chosen, second.chosen]))
    return np.concatenate([first[:], second[:]])


def _finished(pixels: NDArray[np.uint8], tasks: list[Future[None]]) -> NDArray[np.uint8]:
    for task in tasks:
        task.result()
    return pixels


def decode_crop(path: Path, size: int, crop: Crop) -> NDArray[np.uint8]:
    """What `crop` cuts out of one image, uint8 [size, size, 3].

    The image is turned as its EXIF orientation says. A JPEG that is at least twice as large as
    needed is decoded at 1/2, 1/4 or 1/8 of its size; then the box is interpolated linearly, with
    the neighbours averaged where it shrinks (Pillow's BILINEAR). UserError naming the file where
    it cannot be read.
    """
    with _opened(path) as file:
        turned = file.getexif().get(_ORIENTATION) in _TURNED
        width, height = file.size[::-1] if turned else file.size
        box, mirror = crop(width, height)
        across = math.ceil(width * size / (box[2] - box[0]))
        along = math.ceil(height * size / (box[3] - box[1]))
        file.draft(None, (along, across) if turned else (across, along))
        ImageOps.exif_transpose(file, in_place=True)
        image = to_grey_or_rgb(file, str(path)).convert("RGB")
        right, down = image.width / width, image.height / height
        left, top = math.floor(box[0] * right), math.floor(box[1] * down)
        # Cut out first: what lies outside of the box must not come in at its edges.
        image = image.crop((left, top, math.ceil(box[2] * right), math.ceil(box[3] * down)))
        inner = (box[0] * right - left, box[1] * down - top, box[2] * right - left,
                 box[3] * down - top)  # fmt: skip
        pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, inner))
        return pixels[:, ::-1] if mirror else pixels


def check_image(path: Path) -> None:
    """UserError naming the file where an image is no image, damaged or cut off. It is read to its
    end, a JPEG at an eighth of its size."""
    with _opened(path) as file:
        file.draft(None, (1, 1))
        to_grey_or_rgb(file, str(path))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file, open; whatever fails inside becomes a UserError that names the file."""
    with reading(path):
        handle = path.open("rb")
    try:
        with handle, Image.open(handle) as file:
            yield file
    except UserError:
        raise
    except Exception as error:  # Pillow raises almost anything on a damaged file
        raise UserError(
            f"this image cannot be read ({error}).", where=str(path), fix="Replace it or remove it."
        ) from error


def _central(width: int, height: int) -> tuple[Box, bool]:
    """The central square of CENTRAL times the shorter side."""
    side = max(1, round(CENTRAL * min(width, height)))
    left, top = (width - side) // 2, (height - side) // 2
    return (left, top, left + side, top + side), False


def evaluated(places: NDArray[np.integer]) -> list[Crop]:
    """The crops that evaluation makes: the central square of each image."""
    return [_central] * len(places)
