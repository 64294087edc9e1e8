"""NumPy archives (.npz) of images and labels, with the names that MedMNIST or Keras give them.

    train_images, train_labels [, test_images, test_labels] [, val_images, val_labels]
    x_train, y_train [, x_test, y_test]
    images, labels          or          x, y

and perhaps class_names. Images are [N, H, W], [N, H, W, C] or [N, C, H, W] with C 1 or 3, uint8 or
floats from 0 to 1; labels are [N] or [N, 1], whole numbers from 0. Other arrays are ignored.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.data.formats.found import (
    Found,
    ImageSet,
    Listed,
    Options,
    Part,
    join_parts,
    list_folder,
    one_shape,
    reading,
)
from tutelage.data.formats.labels import whole_labels
from tutelage.data.formats.pixels import to_bytes
from tutelage.errors import UserError

_LAYOUTS = (
    {
        "train": ("train_images", "train_labels"),
        "test": ("test_images", "test_labels"),
        "validation": ("val_images", "val_labels"),
    },
    {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},
    {"train": ("images", "labels")},
    {"train": ("x", "y")},
)
_KNOWN = "; ".join(" and ".join(layout["train"]) for layout in _LAYOUTS)
_MOST_INFLATED = 1032  # bytes that one byte of a zip file can become (zlib.net/zlib_tech.html)
_AGAIN = "Save it anew, or take the file anew."


def find(path: Path) -> list[Found]:
    """The archive that `path` is, or the one in folder `path`. UserError when there are several."""
    if path.is_file():
        files = [path] if path.suffix == ".npz" else []
    else:
        files = [path / name for name in list_folder(path).files if name.endswith(".npz")]
    if len(files) > 1:
        raise UserError(
            f"there are {len(files)} .npz files here: {', '.join(file.name for file in files)}.",
            where=str(path),
            fix="Name the one that is meant.",
        )
    return [Found("a NumPy archive", file, partial(_list_files, file)) for file in files]


def _list_files(file: Path, _: Options) -> Listed:
    return Listed(file.parent, (file.name,), partial(_read, file))


def _read(path: Path) -> ImageSet:
    try:
        with reading(path), zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(
            f"this NumPy archive is damaged or cut off ({error}).", where=str(path), fix=_AGAIN
        ) from error


def _read_archive(archive: zipfile.ZipFile, path: Path) -> ImageSet:
    keys = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    layout = _layout(keys, path)
    parts = {}
    for split, (images_key, labels_key) in layout.items():
        pixels = _images(_array(archive, images_key, path), _where(path, images_key))
        labels = _array(archive, labels_key, path)
        parts[split] = Part(pixels, whole_labels(labels, len(pixels), _where(path, labels_key)))
    original = one_shape(parts, {split: _where(path, key) for split, (key, _) in layout.items()})
    train, test = join_parts(parts)
    names = None
    if "class_names" in keys:
        names = _names(_array(archive, "class_names", path), _where(path, "class_names"))
    return ImageSet(train, test, names, original)


def _layout(keys: list[str], path: Path) -> dict[str, tuple[str, str]]:
    """The names of images and labels of the splits that there are, by split."""
    used = [layout for layout in _LAYOUTS if any(set(pair) & set(keys) for pair in layout.values())]
    found = f"Its arrays: {', '.join(keys) or 'none'}."
    if not used:
        raise UserError(
            "there are no images and labels of known names in this archive.",
            where=str(path),
            fix=f"{found} Looked for: {_KNOWN}.",
        )
    if len(used) > 1:
        both = " and ".join(layout["train"][0] for layout in used)
        raise UserError(
            f"this archive holds two sets of images ({both}).",
            where=str(path),
            fix=f"{found} Leave one kind out.",
        )
    layout = {s: pair for s, pair in used[0].items() if s == "train" or set(pair) & set(keys)}
    for pair in layout.values():
        for key in pair:
            if key not in keys:
                raise UserError(
                    f"there is no array {key} in this archive.", where=str(path), fix=found
                )
    return layout


def _array(archive: zipfile.ZipFile, key: str, path: Path) -> NDArray[Any]:
    """One array. Nothing is unpickled, and no more memory is taken than the archive can fill."""
    where = _where(path, key)
    info = archive.getinfo(f"{key}.npy")
    try:
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise ValueError(f"version {version} of the format")
            shape, fortran, dtype = read_header(file)
            if dtype.hasobject:
                raise UserError(
                    "this array holds Python objects, which are not read because that would "
                    "run code.",
                    where=where,
                    fix="Save plain numbers: images as uint8, labels as int64.",
                )
            promised = math.prod(shape) * dtype.itemsize
            if promised > info.file_size or info.file_size > info.compress_size * _MOST_INFLATED:
                raise ValueError("it is shorter than its header promises")
            data = file.read(promised)
            if len(data) != promised or file.read(1):
                raise ValueError("it does not have the length that its header promises")
    except (ValueError, SyntaxError, TypeError) as error:
        raise UserError(f"this array is damaged ({error}).", where=where, fix=_AGAIN) from error
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _images(values: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """Images of any of the known shapes and types as uint8 [N, H, W, C]."""
    shape = "x".join(str(side) for side in values.shape)
    if values.ndim == 3:
        values = values[..., None]
    last = values.ndim == 4 and values.shape[3] in (1, 3)
    second = values.ndim == 4 and values.shape[1] in (1, 3)
    if last == second:
        raise UserError(
            f"the images are {shape}: "
            + ("which side holds the colours is not clear." if last else "not a known shape."),
            where=where,
            fix="They must be [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels.",
        )
    if not values.size:
        raise UserError(f"there are no images here: the array is {shape}.", where=where, fix=_AGAIN)
    pixels = to_bytes(values, where)
    return pixels if last else np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def _names(values: NDArray[Any], where: str) -> tuple[str, ...]:
    if values.dtype.kind != "U" or values.ndim != 1:
        raise UserError("the class names are not a list of text.", where=where)
    return tuple(values.tolist())


def _where(path: Path, key: str) -> str:
    return f"{path}, {key}"
