"""Where images come from. Every source delivers uint8 pixels and int64 labels, in memory unless
they are streamed."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.config.canonical import digest
from tutelage.config.schema import DataConfig
from tutelage.data.array_cache import Cache, cached
from tutelage.data.formats import ImageSet, Options, recognise, stamps
from tutelage.data.formats.image_folder import simplified
from tutelage.data.formats.pixels import bring_all
from tutelage.data.image_files import Images
from tutelage.data.named_sets import NAMED_SETS
from tutelage.data.prepare import canonical_order, prepare
from tutelage.data.streamed import open_streamed
from tutelage.data.unlabelled import read_unlabelled
from tutelage.errors import UserError, unknown

_FORMATS = "official files, a folder of images or .npz"
SOURCES: dict[str, str] = {
    "digits": "1,797 handwritten digits, 8x8 grey, 10 classes; ships with scikit-learn",
    "cifar10": f"photos, 32x32 colour, 10 classes: {_FORMATS}",
    "cifar100": f"photos, 32x32 colour, 100 classes: {_FORMATS}",
    "mnist": f"handwritten digits, 28x28 grey, 10 classes: {_FORMATS}",
    "fashion-mnist": f"clothes, 28x28 grey, 10 classes: {_FORMATS}",
    "image-folder": "any folder of images: train/<class>/*.jpg and perhaps test/, or <class>/*.jpg",
    "files": "whatever lies there: a folder of images, .csv, .parquet, .npz, idx or CIFAR files",
}
CACHE_VERSION = 2  # raised when reading changes pixels, labels or their order


@dataclass(frozen=True, eq=False)
class Source:
    """All images of a source, before any split.

    `images` is uint8 [N, H, W, C] (perhaps memory-mapped, or ImageFiles), `labels` int64 [N] with
    values below len(class_names). `test_images` and `test_labels` are the source's own test set, or
    None.
    Train and test are each in canonical order (see prepare.py), whatever order they came in.
    """

    images: Images
    labels: NDArray[np.int64]
    test_images: Images | None
    test_labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    name: str
    unlabelled: Images | None = None


def load_source(config: DataConfig, cache: Cache) -> Source:
    """The source that `config` names. What was read is kept in `cache` and memory-mapped.

    Raises UserError for an unknown source, a path that is missing or not wanted, files that are
    damaged or of no known format, labels without sense, and images that do not have one size or
    are not those of the named data set.
    """
    if config.source not in SOURCES:
        raise unknown("source", config.source, SOURCES, where="data.source")
    source = _digits(config) if config.source == "digits" else _files(config, cache)
    if isinstance(config.unlabelled, str):
        images = read_unlabelled(config, source.images, cache)
        return replace(source, unlabelled=images)
    return source


def read_in_order(config: DataConfig) -> dict[str, NDArray[np.uint8]]:
    """The images of train, and of test where the source has it, uint8 [N, H, W, C], brought to
    `size`, in the order of their files: of CIFAR's batches, of an archive's or a table's rows, of a
    folder's classes and in them of paths; those of a validation split behind those of train.

    They are read anew. Raises UserError as load_source does, and for streamed images.
    """
    if config.streamed:
        raise UserError(
            "a file of logits needs images that fit in memory.", where="data.streamed",
            fix="Remove it, with a data.size that is small enough.",
        )  # fmt: skip
    if config.source == "digits":
        return {"train": _digit_images()[0]}
    named = NAMED_SETS.get(config.source)
    found = recognise(config.path, only_folders=config.source == "image-folder")
    options = Options(config.size, config.fit, config.classes, named and named.class_names)
    data = found.list_files(options).read()
    parts = {"train": data.train} | ({} if data.test is None else {"test": data.test})
    return {name: bring_all(part.images, config.size, config.fit) for name, part in parts.items()}


def _digits(config: DataConfig) -> Source:
    """Scikit-learn's digits: grey values 0..16 become round(p * 255 / 16)."""
    if config.path is not None:
        raise UserError(
            "digits takes no path, because it ships with scikit-learn.",
            where="data.path",
            fix="Remove it, or set data.source to files.",
        )
    if config.streamed:
        raise UserError("digits are not streamed.", where="data.streamed", fix="Remove it.")
    if config.size is not None:
        raise UserError(
            "digits takes no size: its images are 8x8.", where="data.size", fix="Remove it."
        )
    _check_used(config, is_folder=False)
    images, labels = _digit_images()
    order = canonical_order(images, labels)
    names = _names(config, None, 10)
    return Source(images[order], labels[order], None, None, names, "digits")


def _digit_images() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    grey, labels = _scikit_digits()
    return np.rint(grey * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1), labels


def _scikit_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Grey values 0..16 [1797, 64] and labels [1797]. The table is read without scikit-learn where
    it lies where it always lay, because every process of a study would import that for a second."""
    package = importlib.util.find_spec("sklearn")
    if package is not None and package.origin is not None:
        path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            table = np.loadtxt(path, delimiter=",")
            return table[:, :-1], table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    grey, values = load_digits(return_X_y=True)
    return np.asarray(grey, np.float64), np.asarray(values, np.int64)


def _files(config: DataConfig, cache: Cache) -> Source:
    """The data set at data.path, which a named source must fit."""
    if config.streamed and config.source not in ("files", "image-folder"):
        raise UserError(
            f"{config.source} fits in memory and is not streamed.", where="data.streamed",
            fix="Remove it, or set data.source to image-folder.",
        )  # fmt: skip
    named = NAMED_SETS.get(config.source)
    found = recognise(config.path, only_folders=config.source == "image-folder")
    _check_used(config, is_folder=found.is_folder)
    known = named.class_names if named else None
    options = Options(config.size, config.fit, config.classes, known)
    listed = found.list_files(options)
    if config.streamed:
        data = open_streamed(listed, options, cache, str(found.root))
        names = _names(config, data.class_names, int(data.train.labels[-1]) + 1)
        test_images, test_labels = data.test or (None, None)
        return Source(*data.train, test_images, test_labels, names, config.source)
    where = str(found.root)
    key = digest([CACHE_VERSION, found.what, asdict(options), listed.files, stamps(listed)])
    try:
        data = cached(cache, key, lambda: prepare(listed.read(), options, where))
    except MemoryError as error:
        raise UserError(
            "these images do not fit into memory.", where=where, fix="Set data.size, such as 32."
        ) from error
    classes = int(data.train.labels[-1]) + 1
    if named:
        _check_named(config.source, data, classes, where)
    names = _names(config, data.class_names, classes)
    test_images, test_labels = data.test or (None, None)
    return Source(*data.train, test_images, test_labels, names, config.source)


def _check_used(config: DataConfig, *, is_folder: bool) -> None:
    """UserError for an option that would change nothing."""
    if config.classes != "top" and not is_folder:
        raise UserError(
            f"classes: {config.classes} is for folders of images.",
            where="data.classes",
            fix="Remove it.",
        )
    if config.fit != "crop" and config.size is None:
        raise UserError(
            f"fit: {config.fit} says how images are brought to data.size, which is not set.",
            where="data.fit",
            fix="Set data.size, or remove it.",
        )


def _check_named(name: str, data: ImageSet, classes: int, where: str) -> None:
    """UserError when `data` is not the data set `name`."""
    shape, class_names = NAMED_SETS[name]
    height, width, channels = data.original or (None, None, data.train.images.shape[-1])
    if data.original != shape or classes != len(class_names):
        sides = f"{height}x{width}" if data.original else "several sizes"
        raise UserError(
            f"this is not {name}: its images are {sides} with {channels} channel"
            f"{'s' * (channels > 1)} in {classes} classes, those of {name} "
            f"{shape[0]}x{shape[1]} with {shape[2]} in {len(class_names)}.",
            where=where,
            fix="Set data.source to files, or name another path.",
        )


def _names(config: DataConfig, own: tuple[str, ...] | None, count: int) -> tuple[str, ...]:
    """Names of the `count` classes: those asked for, else the files' own, else the known ones.

    Numbers are no names, and another spelling of the known names becomes the known one.
    """
    numbers = tuple(str(label) for label in range(count))
    if config.class_names is not None:
        given = tuple(config.class_names)
        if len(given) != count or len(set(given)) != count:
            raise UserError(
                f"{len(given)} names are given, {len(set(given))} of them different; the data set "
                f"has {count} classes.",
                where="data.class_names",
                fix="Give one name for each class, in the order of the labels.",
            )
        return given
    known = NAMED_SETS[config.source].class_names if config.source in NAMED_SETS else numbers
    if own is None or own == numbers:
        return known
    return known if [*map(simplified, known)] == [*map(simplified, own)] else own
