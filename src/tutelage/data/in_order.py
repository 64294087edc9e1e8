"""The images of a data set in the order of its files, for a teacher that is asked elsewhere."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tutelage.config.schema import DataConfig
from tutelage.data.sources import read_in_order
from tutelage.errors import UserError


def images_in_order(
    path: str | None = None,
    *,
    source: str = "files",
    size: int | None = None,
    fit: Literal["crop", "stretch"] = "crop",
    classes: Literal["top", "leaf"] = "top",
) -> dict[str, NDArray[np.uint8]]:
    """The images at `path` as studies see them, uint8 [N, H, W, C]: those of `train`, and of `test`
    where there is a test set.

    They are in the order of their files: of CIFAR's batches, of an archive's or a table's rows, of
    a folder's classes and in them of paths; those of a validation split come behind those of train.
    A file of logits, `logits@FILE`, has its rows in this order. The arguments are those of `data`
    in a study. Raises UserError for what cannot be read.
    """
    try:
        config = DataConfig(path=path, source=source, size=size, fit=fit, classes=classes)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{first['msg']}.", where=f"data.{key}") from None
    return read_in_order(config)
