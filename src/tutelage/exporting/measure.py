"""The error of a student on images from anywhere."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.config.schema import DataConfig
from tutelage.data.array_cache import Cache
from tutelage.data.formats import recognise
from tutelage.data.formats.image_folder import simplified
from tutelage.data.image_files import ImageFiles, Images
from tutelage.data.sources import Source, load_source
from tutelage.data.world import Split, make_world
from tutelage.errors import UserError
from tutelage.evaluation.metrics import class_errors, metrics
from tutelage.exporting.opened import Opened
from tutelage.exporting.parity import run_on

STUDY_TEST = "the study's test images"
OWN_TEST = "its test images"
ALL = "all its images"


def evaluate_on(opened: Opened, data: str | None, cache: Cache | None = None) -> dict[str, Any]:
    """How well a student predicts the images at `data` (without it, those of its study).

    Where these are the very images of its study, its test split is drawn again and used: the rest
    it has seen. Otherwise the data set's own test images are, or all, where it has no such part.
    Images are brought to the student's size as those of its study were; classes are matched by
    their names, in any spelling, or by their numbers where they have no names.

    Returns {"student", "data", "images", "metrics", "classes", "confusion"}: `data` says which
    images, `metrics` are those of `evaluation.metrics`, each of `classes` has name, images, error
    (percent) and what the wrong ones are mostly taken for; `confusion` [label][prediction] counts.

    Raises UserError for images that cannot be read or are of another kind, and unknown classes.
    """
    with ExitStack() as stack:
        if cache is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tutelage-"))
            cache = _cache_in(Path(folder))
        split, which = _images(opened, data, cache)
        logits = run_on(opened.run, split)
    names, labels = opened.class_names, split.labels
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (labels, logits.argmax(axis=1)), 1)
    errors = class_errors(logits, labels)
    return {
        "student": opened.name,
        "data": which,
        "images": len(split),
        "metrics": metrics(logits, labels),
        "classes": [
            {"name": name, "images": int(row.sum()), "error": error, "taken_for": _mostly(row, k,
             names)}
            for k, (name, row, error) in enumerate(zip(names, confusion, errors, strict=True))
        ],
        "confusion": confusion.tolist(),
    }  # fmt: skip


def _images(opened: Opened, data: str | None, cache: Cache) -> tuple[Split, str]:
    """The images to predict with labels of the student's classes, and which they are."""
    path = opened.path if data is None else data
    config = DataConfig.model_validate({**opened.data, "path": path})
    if data is None:
        found = _study_test(opened, config, cache)
        if found is None:
            raise UserError("the data has changed since the study began.", where=path,
                            fix="Say which images are meant: --data PATH.")  # fmt: skip
        return found, STUDY_TEST
    with suppress(UserError):
        found = _study_test(opened, config, cache)
        if found is not None:
            return found, STUDY_TEST
    height, width, _ = opened.shape
    square = height == width
    folder = recognise(data).is_folder
    source = load_source(
        DataConfig.model_validate(
            {
                "source": "files", "path": data, "size": height if square else None,
                "fit": opened.fit if square else "crop",
                "classes": config.classes if folder else "top",
                "streamed": config.streamed if folder else None,
            }
        ),
        cache,
    )  # fmt: skip
    images, labels, which = source.images, source.labels, ALL
    if source.test_images is not None and source.test_labels is not None:
        images, labels, which = source.test_images, source.test_labels, OWN_TEST
    return Split(_fitting(images, opened, data), _matched(source, opened, data)[labels]), which


def _study_test(opened: Opened, config: DataConfig, cache: Cache) -> Split | None:
    """The test images of the student's study, where the data set is that of the study."""
    world = make_world(load_source(config, cache), config, *opened.seeds)
    return world.test if world.fingerprint == opened.fingerprint else None


def _fitting(images: Images, opened: Opened, where: str) -> Images:
    """The images in the student's shape: grey ones become colour ones where it takes those."""
    height, width, channels = opened.shape
    if not isinstance(images, ImageFiles) and images.shape[-1] == 1 and channels == 3:
        images = np.broadcast_to(images, (*images.shape[:3], 3))
    if images.shape[1:] != opened.shape:
        told = "x".join(str(side) for side in images.shape[1:])
        raise UserError(
            f"these images are {told}; the student takes {height}x{width}x{channels} (height, "
            "width, channels).",
            where=where, fix="Bring them to this shape first.",
        )  # fmt: skip
    return images


def _matched(source: Source, opened: Opened, where: str) -> NDArray[np.int64]:
    """The student's class of each label of `source`, int64 [labels]."""
    theirs, ours = source.class_names, opened.class_names
    place = {simplified(name): k for k, name in enumerate(ours)}
    wanted = [simplified(name) for name in theirs]
    if len(place) == len(ours) and all(name in place for name in wanted):
        return np.array([place[name] for name in wanted], np.int64)
    numbers = tuple(str(label) for label in range(len(theirs)))
    if theirs == numbers and len(theirs) <= len(ours):
        return np.arange(len(theirs))
    unknown = next((name for name in theirs if simplified(name) not in place), theirs[-1])
    raise UserError(
        f"'{unknown}' is none of the student's classes.", where=where,
        fix=f"It knows {', '.join(ours[:20])}{', ...' if len(ours) > 20 else ''}.",
    )  # fmt: skip


def _mostly(row: NDArray[np.int64], label: int, names: tuple[str, ...]) -> str | None:
    """The class that most of a class's wrongly predicted images are taken for."""
    others = row.copy()
    others[label] = 0
    return names[int(others.argmax())] if others.any() else None


def _cache_in(folder: Path) -> Cache:
    def place(kind: str, key: str) -> Path:
        return folder / f"{kind}-{key}"

    return place
