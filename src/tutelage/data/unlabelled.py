"""Images that have no labels: a folder of them, beside the images of a source."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from tutelage.config.canonical import digest
from tutelage.config.schema import DataConfig
from tutelage.data.array_cache import Cache, cached
from tutelage.data.formats import ImageSet, Listed, Options, Part, stamps
from tutelage.data.formats.decode import decode_all
from tutelage.data.formats.found import files_below
from tutelage.data.formats.image_folder import is_image
from tutelage.data.image_files import Images
from tutelage.data.prepare import canonical_order
from tutelage.errors import UserError

_WHERE, _VERSION = "data.unlabelled", 1


def read_unlabelled(config: DataConfig, beside: Images, cache: Cache) -> Images:
    """The images in and below the folder `config.unlabelled`, uint8 [N, H, W, C], in an order that
    their pixels decide; brought to data.size as those of the source are, which are `beside`.

    Hidden files, and files that are no images by their ending, are ignored. Raises UserError where
    none is left, and for images that cannot be read or have another size or other colours.
    """
    root = Path(str(config.unlabelled))
    if not root.is_dir():
        raise UserError("there is no such folder.", where=f"{_WHERE}: {root}")
    files = [file for file in files_below(root) if is_image(file.name)]
    names = tuple(file.relative_to(root).as_posix() for file in files)
    if not names:
        raise UserError("holds no images.", where=f"{_WHERE}: {root}")
    options = Options(config.size, config.fit)

    def read() -> ImageSet:
        images, original = decode_all([root / name for name in names], options)
        labels = np.zeros(len(images), np.int64)
        part = Part(images[canonical_order(images, labels)], labels)
        return ImageSet(part, None, None, original)

    listed = Listed(root, names, read)
    key = digest(["unlabelled", _VERSION, asdict(options), names, stamps(listed)])
    images = cached(cache, key, read).train.images
    wanted, found = beside.shape[1:], images.shape[1:]
    if found[:2] == wanted[:2] and found[2] == 1 and wanted[2] == 3:
        return np.repeat(images, 3, axis=3)  # all are grey, and beside coloured ones
    if found != wanted:
        sides, others = ("x".join(map(str, shape)) for shape in (found, wanted))
        raise UserError(
            f"these images are {sides} (height, width, channels), those with labels {others}.",
            where=f"{_WHERE}: {root}",
            fix="Set data.size to bring all to one size; grey images need grey ones beside them.",
        )
    return images
