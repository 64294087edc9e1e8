"""Folders of images, `<split>/<class>/<image>`: listed in sorted order, decoded once, cached.

Every image becomes RGB: grey is repeated and an alpha channel dropped. With a size, it is reduced
(or enlarged) to a square by averaging over boxes, whatever its shape.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tutelage.config.canonical import digest
from tutelage.errors import UserError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
CACHE_VERSION = 1  # raised when decoding changes pixels
LARGEST_SIDE = 512  # without data.size; beyond it a data set does not fit in memory
_FILES_PER_TASK = 64


@dataclass(frozen=True, eq=False)
class Listing:
    """The images of one split, sorted by class and file name.

    `files` are relative to `root` ("cat/1.png"). `stamps` tell an edited or replaced file: its
    bytes and the times (ns) at which its content and its entry changed. `labels` is int64 [N].
    """

    root: Path
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    stamps: tuple[str, ...]
    labels: NDArray[np.int64]


def list_split(root: Path) -> Listing:
    """The classes and images under `root`. Hidden files and other files than images are ignored.

    Raises UserError when there is no class folder, a class without images, or no permission.
    """
    try:
        names = _visible(root, lambda entry: entry.is_dir())
        if not names:
            raise UserError(
                "there are no class folders here.",
                where=str(root),
                fix=f"Images are looked for as {root.name}/<class>/<image>.",
            )
        files, stamps, counts = [], [], []
        for name in names:
            images = _visible(root / name, _is_image)
            if not images:
                raise UserError(
                    f"class '{name}' has no images.",
                    where=str(root / name),
                    fix="Images end in " + ", ".join(SUFFIXES) + ".",
                )
            files += [f"{name}/{image}" for image in images]
            counts.append(len(images))
        for file in files:
            stat = os.stat(os.path.join(root, file))
            stamps.append(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}")
    except OSError as error:
        raise UserError(
            f"this cannot be read ({error.strerror}).", where=str(error.filename or root)
        ) from error
    labels = np.repeat(np.arange(len(names), dtype=np.int64), counts)
    return Listing(root, tuple(names), tuple(files), tuple(stamps), labels)


def _visible(folder: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and wanted(e))


def _is_image(entry: os.DirEntry[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in SUFFIXES


def decode(
    listing: Listing, size: int | None, cache: Callable[[str, str], Path]
) -> NDArray[np.uint8]:
    """The pixels of all images, uint8 [N, S, S, 3], memory-mapped from the cache.

    S is `size` in pixels, or the side of the images, which then must all be square and of one
    size. Decoded on the first call; afterwards only when a file has changed. Raises UserError
    naming the file that cannot be read or does not fit.
    """
    key = digest([CACHE_VERSION, size, listing.files, listing.stamps])
    path = cache("images", f"{key}.npy")
    images = _cached(path, len(listing.files))
    if images is None:
        decoded = _decode_all(listing, size)
        try:
            _save(path, decoded)
        except OSError as error:
            raise UserError(
                f"the decoded images cannot be kept ({error.strerror}).",
                where=str(path),
                fix="Free some space, or use another store.",
            ) from error
        images = np.load(path, mmap_mode="r")
    return images


def _cached(path: Path, count: int) -> NDArray[np.uint8] | None:
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # absent, or damaged: decoded again
        return None
    fits = images.dtype == np.uint8 and images.ndim == 4 and len(images) == count
    return images if fits else None


def _save(path: Path, images: NDArray[np.uint8]) -> None:
    """Write beside `path` and rename, so that no reader ever sees half a file."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, images)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _decode_all(listing: Listing, size: int | None) -> NDArray[np.uint8]:
    paths = [listing.root / file for file in listing.files]
    first = _decode(paths[0], size)
    images = np.empty((len(paths), *first.shape), np.uint8)

    def fill(start: int) -> None:
        for position in range(start, min(start + _FILES_PER_TASK, len(paths))):
            image = _decode(paths[position], size)
            if image.shape != first.shape:
                side, other = len(first), len(image)
                raise UserError(
                    f"this image has a side of {other} pixels, the first of its split {side}.",
                    where=str(paths[position]),
                    fix=f"Set data.size, such as {side}, to bring all images to one size.",
                )
            images[position] = image

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(fill, range(0, len(paths), _FILES_PER_TASK)):
            pass  # the first error in the order of the files is raised here
    return images


def _decode(path: Path, size: int | None) -> NDArray[np.uint8]:
    """One image as uint8 [S, S, 3]."""
    try:
        with Image.open(path) as image:
            mode, rgb = image.mode, image.convert("RGB")
    except Exception as error:  # Pillow raises almost anything on a damaged file
        raise UserError(
            f"this image cannot be read ({error}).", where=str(path), fix="Replace it or remove it."
        ) from error
    if mode.startswith(("I", "F")):
        raise UserError(
            "this image has more than 8 bits a channel.",
            where=str(path),
            fix="Convert it to 8 bits a channel.",
        )
    if size is not None:
        rgb = rgb.resize((size, size), Image.Resampling.BOX)
    elif rgb.width != rgb.height:
        raise UserError(
            f"this image is not square ({rgb.width}x{rgb.height} pixels).",
            where=str(path),
            fix="Set data.size to bring all images to one size.",
        )
    elif rgb.width > LARGEST_SIDE:
        raise UserError(
            f"this image has a side of {rgb.width} pixels, over {LARGEST_SIDE}.",
            where=str(path),
            fix="Set data.size to reduce all images.",
        )
    return np.asarray(rgb)
