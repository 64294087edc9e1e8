"""Any PyTorch or Hugging Face dataset of images and labels as an .npz file that the source `files`
reads.

Works with map-style and iterable datasets, and with anything else that has a length and items, or
can be iterated over. Neither PyTorch nor Hugging Face's `datasets` is needed.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from tutelage.data.atomic_file import atomic_file
from tutelage.data.formats.arrow import LABELS
from tutelage.data.formats.found import ImageSet, Part
from tutelage.data.formats.labels import check_classes
from tutelage.data.formats.pixels import bring, check_side, to_bytes, to_grey_or_rgb
from tutelage.data.formats.rows import split_of
from tutelage.errors import UserError


def write_npz(
    path: str | Path,
    train: Any,
    test: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    size: int | None = None,
    fit: Literal["crop", "stretch"] = "crop",
) -> Path:
    """Write the images and labels of `train` and `test` to the .npz file `path`, and return it.

    Both are datasets of (image, label), or of Hugging Face with columns for them, and are read once
    from first to last. `train` may be a DatasetDict of splits instead: without a test
    split, validation is the test set; with one, validation joins train. An image is a PIL image, a
    tensor [C, H, W] or [H, W], or an array [H, W, C] or [H, W]; C is 1 or 3, values are uint8 or
    floats from 0 to 1 (p becomes round(255 p)). When all are grey they get one channel, otherwise
    all become RGB. A label is a whole number from 0: an int, or an array or tensor of one number.
    `class_names` default to those of `train.classes`. With `size` in pixels, images are brought to
    size x size as `fit` says (see data/formats/pixels.py); without, all must have one size.

    The file is whole or absent. Raises UserError naming dataset and index for an image or label of
    another kind, and for classes without images; StorageError when the file cannot be written.
    Errors of a dataset itself pass through.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise UserError("the name of the file must end in .npz.", where=str(path))
    splits = {"train": train} | ({} if test is None else {"test": test})
    if isinstance(train, Mapping):
        splits, train = _splits(train, test), next(iter(train.values()))
    found = {split: _read(dataset, split, size, fit) for split, dataset in splits.items()}
    if "validation" in found:
        more = found.pop("validation")
        found["train"] = (found["train"][0] + more[0], found["train"][1] + more[1])
    images = [image for read, _ in found.values() for image in read]
    grey = all(image.mode == "L" for image in images)
    parts = {split: _to_part(*read, grey, images[0].size, split) for split, read in found.items()}
    names = _class_names(train, class_names)
    check_classes(ImageSet(parts["train"], parts.get("test"), names, None), "the dataset")
    arrays = {
        f"{split}_{kind}": array
        for split, part in parts.items()
        for kind, array in part._asdict().items()
    }
    if names is not None:
        arrays["class_names"] = np.array(names)
    with atomic_file(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # no name is allow_pickle
    return path


def _splits(datasets: Mapping[str, Any], test: Any) -> dict[str, Any]:
    """The splits of a DatasetDict by what they are: train, perhaps test, perhaps validation beside
    test. Raises UserError for others, and without train."""
    if test is not None:
        raise UserError("the first dataset has splits, and there is a second one.", where="data",
                        fix="Give one of the two: splits, or a pair.")  # fmt: skip
    found = {split_of(str(name), f"data['{name}']"): each for name, each in datasets.items()}
    if "train" not in found:
        raise UserError(f"there is no split train, but {', '.join(map(str, datasets))}.",
                        where="data")  # fmt: skip
    if "test" not in found and "validation" in found:
        found["test"] = found.pop("validation")
    return found


def _read(
    dataset: Any, split: str, size: int | None, fit: Literal["crop", "stretch"]
) -> tuple[list[Image.Image], list[int]]:
    images, labels = [], []
    for index, sample in enumerate(_samples(dataset)):
        where = f"{split}[{index}]"
        if not isinstance(sample, Sequence) or len(sample) != 2:
            raise UserError(
                f"this is {type(sample).__name__}, not a pair of image and label.",
                where=where,
                fix="The dataset must deliver (image, label).",
            )
        image = _to_image(sample[0], where)
        if size is None:
            check_side(image.height, image.width, where)
        images.append(bring(image, size, fit))
        labels.append(_to_label(sample[1], where))
    if not images:
        raise UserError("this dataset is empty.", where=split)
    return images, labels


def _samples(dataset: Any) -> Iterator[Any]:
    """The samples of a map-style or an iterable dataset, in order."""
    columns = _columns(dataset)
    if columns is not None:
        return ((row[columns[0]], row[columns[1]]) for row in dataset)
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        return (dataset[index] for index in range(len(dataset)))
    try:
        return iter(dataset)
    except TypeError as error:
        raise UserError(
            f"{type(dataset).__name__} is not a dataset.",
            where="data",
            fix="Give one with a length and items, or one that can be iterated over.",
        ) from error


def _columns(dataset: Any) -> tuple[str, str] | None:
    """The columns of images and labels of a dataset of Hugging Face; None of any other.

    Raises UserError where there is not one of each.
    """
    features = getattr(dataset, "features", None)
    if not isinstance(features, Mapping) or not hasattr(dataset, "column_names"):
        return None
    images = [name for name, each in features.items() if type(each).__name__ == "Image"]
    classes = [name for name, each in features.items() if type(each).__name__ == "ClassLabel"]
    labels = [name for name in LABELS if name in features] or classes
    if len(images) != 1 or not labels or (labels == classes and len(classes) > 1):
        raise UserError(
            f"there must be one column of images and one of labels; the columns are "
            f"{', '.join(features)}.",
            where="data",
            fix="Keep one of each, the label as `label`: remove_columns, rename_column.",
        )
    return images[0], labels[0]


def _to_image(image: Any, where: str) -> Image.Image:
    """An image in mode L or RGB."""
    if isinstance(image, Image.Image):
        return to_grey_or_rgb(image, where)
    torch = sys.modules.get("torch")  # without it there are no tensors
    if torch is not None and isinstance(image, torch.Tensor):
        tensor = image.detach().cpu()
        values = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        values = np.moveaxis(values, 0, -1) if values.ndim == 3 else values
        kind = "a tensor"
    elif isinstance(image, np.ndarray):
        values, kind = image, "an array"
    else:
        raise UserError(
            f"the image is {type(image).__name__}.",
            where=where,
            fix="It must be a PIL image, a tensor or an array.",
        )
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] not in (1, 3) or not values.size:
        raise UserError(
            f"the image is {kind} of shape {'x'.join(str(side) for side in image.shape)}.",
            where=where,
            fix="Tensors are [C, H, W] or [H, W], arrays [H, W, C] or [H, W], with C 1 or 3.",
        )
    pixels = to_bytes(values, where)
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def _to_label(label: Any, where: str) -> int:
    try:
        value = operator.index(label.item() if hasattr(label, "item") else label)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the label is {label!r:.60}, not a whole number.",
            where=where,
            fix="Labels are whole numbers from 0.",
        ) from error
    if not 0 <= value < 1 << 31:
        raise UserError(f"the label is {value}; labels are whole numbers from 0.", where=where)
    return value


def _to_part(
    images: list[Image.Image], labels: list[int], grey: bool, sides: tuple[int, int], split: str
) -> Part:
    pixels = np.empty((len(images), sides[1], sides[0], 1 if grey else 3), np.uint8)
    for index, image in enumerate(images):
        if image.size != sides:
            raise UserError(
                f"this image is {image.width}x{image.height} pixels, the first one "
                f"{sides[0]}x{sides[1]}.",
                where=f"{split}[{index}]",
                fix="Give a size, such as size=32, to bring all images to one.",
            )
        values = np.asarray(image if grey else image.convert("RGB"))
        pixels[index] = values[..., None] if grey else values
    return Part(pixels, np.array(labels, np.int64))


def _class_names(dataset: Any, given: Sequence[str] | None) -> tuple[str, ...] | None:
    columns = _columns(dataset)
    own = dataset if columns is None else dataset.features[columns[1]]
    names = getattr(own, "classes" if columns is None else "names", None)
    names = names if given is None else given
    if names is None:
        return None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        if given is None:  # some other attribute of that name
            return None
        raise UserError("the class names are not a list of text.", where="class_names")
    return tuple(names)
