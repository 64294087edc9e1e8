"""What a student says of image files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from tutelage.data.formats.decode import decode
from tutelage.data.formats.found import files_below
from tutelage.data.formats.pixels import bring
from tutelage.errors import UserError
from tutelage.exporting.formats import Images
from tutelage.exporting.opened import Opened

_BATCH = 64


def predict_files(opened: Opened, paths: Iterable[str | Path]) -> dict[str, Any]:
    """The predictions for image files, and for all files in and below folders.

    An image is brought to the student's size as those of its study were (see data/formats/pixels);
    where the student takes grey images, a colour one is made grey.

    Returns {"student", "predictions": [{"file", "class", "probability", "probabilities": {class:
    p}}], "skipped": [{"file", "why"}]}; what is no image is skipped. Raises UserError for a path
    that does not exist, and where no image is left.
    """
    predictions, skipped = list[dict[str, Any]](), list[dict[str, str]]()
    waiting: list[tuple[str, Images]] = []
    for path in _files(paths):
        try:
            waiting.append((str(path), _pixels(path, opened)))
        except UserError as error:
            unknown = isinstance(error.__cause__, UnidentifiedImageError)
            why = "this is no image." if unknown else error.what
            skipped.append({"file": str(path), "why": why})
        if len(waiting) == _BATCH:
            predictions += _predicted(opened, waiting)
            waiting.clear()
    predictions += _predicted(opened, waiting)
    if not predictions:
        why = f" {skipped[0]['file']}: {skipped[0]['why']}" if skipped else ""
        raise UserError(
            f"there is no image to predict.{why}",
            fix="Name image files, or folders of them. What else a study reads (.csv, .parquet, "
            ".npz, saved datasets) has labels: `tutelage evaluate` takes it as --data.",
        )
    return {"student": opened.name, "predictions": predictions, "skipped": skipped}


def _files(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Each file that is named, and the visible files in and below each folder, sorted."""
    for given in paths:
        path = Path(given)
        if not path.exists():
            raise UserError("there is no such file or folder.", where=str(path))
        yield from files_below(path) if path.is_dir() else [path]


def _pixels(path: Path, opened: Opened) -> Images:
    """An image file as the student takes it: float32 [C, H, W], 0 to 1."""
    height, width, channels = opened.shape
    image = decode(path)
    if image.size != (width, height):
        if height != width:
            raise UserError(f"this image is {image.width}x{image.height} pixels; the student takes "
                            f"{width}x{height}.")  # fmt: skip
        image = bring(image, height, "stretch" if opened.fit == "stretch" else "crop")
    image = image.convert("L" if channels == 1 else "RGB")
    return _as_array(image, channels)


def _as_array(image: Image.Image, channels: int) -> Images:
    pixels = np.asarray(image, np.float32).reshape(image.height, image.width, channels)
    return pixels.transpose(2, 0, 1) / np.float32(255)


def _predicted(opened: Opened, waiting: list[tuple[str, Images]]) -> list[dict[str, Any]]:
    if not waiting:
        return []
    logits = opened.run(np.stack([pixels for _, pixels in waiting])).astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = odds / odds.sum(axis=1, keepdims=True)
    names = opened.class_names
    return [
        {
            "file": file,
            "class": names[int(share.argmax())],
            "probability": float(share.max()),
            "probabilities": dict(zip(names, share.tolist(), strict=True)),
        }
        for (file, _), share in zip(waiting, shares, strict=True)
    ]
