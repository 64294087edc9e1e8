"""Labels that make sense: whole numbers from 0, each class with images to learn and to test."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.data.formats.found import ImageSet
from tutelage.errors import UserError


def whole_labels(values: NDArray[Any], count: int, where: str) -> NDArray[np.int64]:
    """Labels of any numeric type, [N] or [N, 1], as int64 [N].

    UserError unless they are `count` whole numbers that are not negative.
    """
    if values.dtype.kind not in "biuf":
        raise UserError(
            f"the labels are {values.dtype}, not numbers.",
            where=where,
            fix="Give each class a whole number from 0; names go into class_names.",
        )
    if values.shape not in ((count,), (count, 1)):
        shape = "x".join(str(side) for side in values.shape) or "one number"
        raise UserError(
            f"the labels are {shape}; for {count} images they must be {count}, or {count}x1.",
            where=where,
            fix="One whole number an image. One-hot labels: take their argmax.",
        )
    labels = values.reshape(-1)
    with np.errstate(invalid="ignore"):  # a label that is not a number is found below
        whole = labels.astype(np.int64)
    bad = (whole != labels) | (whole < 0)
    if bad.any():
        first = int(np.argmax(bad))
        raise UserError(
            f"the label at [{first}] is {labels[first]}; labels are whole numbers from 0.",
            where=where,
        )
    return whole


def check_classes(data: ImageSet, where: str) -> None:
    """UserError unless there are two classes or more, each with images in train and, if there is
    a test set, in test too, and none beyond the named ones, whose names differ."""
    names = data.class_names
    present = np.unique(data.train.labels)
    if not len(present):
        raise UserError("there are no training images.", where=where)
    count = int(present[-1]) + 1 if names is None else len(names)
    if names and len(set(names)) < count:
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(
            f"two classes have the name '{twice}'.", where=where, fix="Each needs its own."
        )
    if present[0] == 1 and (names is None or present[-1] == count):
        raise UserError(
            "the labels start at 1.", where=where, fix="They must start at 0: subtract 1 from all."
        )
    if present[-1] >= count:
        raise UserError(
            f"there is a training image with label {present[-1]}, and only {count} classes.",
            where=where,
            fix=f"Labels go from 0 to {count - 1}.",
        )
    if len(present) < count:
        gaps = present != np.arange(len(present))
        first = int(np.argmax(gaps)) if gaps.any() else len(present)
        raise UserError(
            f"{_class(first, names)} has no training image.",
            where=where,
            fix="Labels must be 0, 1, 2, ... without gaps: add images, or renumber the classes.",
        )
    if count < 2:
        raise UserError(
            "there is only one class.", where=where, fix="A study needs two classes or more."
        )
    if data.test is not None:
        _check_test(present, np.unique(data.test.labels), names, where)


def _check_test(
    train: NDArray[np.int64], test: NDArray[np.int64], names: tuple[str, ...] | None, where: str
) -> None:
    if not len(test):
        raise UserError(
            "the test set has no images.", where=where, fix="Without one, a test set is drawn."
        )
    alone = np.setdiff1d(test, train)
    if len(alone):
        raise UserError(
            f"{_class(int(alone[0]), names)} has test images but no training image.", where=where
        )
    untested = np.setdiff1d(train, test)
    if len(untested):
        raise UserError(
            f"{_class(int(untested[0]), names)} has training images but no test image.",
            where=where,
            fix="Add some, or leave the test set out: then one is drawn.",
        )


def _class(label: int, names: tuple[str, ...] | None) -> str:
    name = f" ('{names[label]}')" if names and label < len(names) else ""
    return f"class {label}{name}"
