"""Folders of images: `<split>/<class>/**/<image>`, or `<class>/**/<image>` without any split.

*Splits.* The training images are in train/ (or training/), the test images in test/ (testing/). A
validation folder (val, valid, validation) is the test set where there is no test/; otherwise its
images join train, because validation is drawn anew in each replicate. Other folders beside train/
are ignored. Capitals do not matter.

*Classes.* With `top`, a class is a folder right below its split, and images in folders below it
belong to it; with `leaf`, every folder that itself holds images is a class, named by its path.
Classes are in the order of their names; by value where all are whole numbers.

Hidden files, and files with another ending than SUFFIXES, are ignored. See decode.py for what
becomes of the images.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import numpy as np

from tutelage.data.formats.decode import decode_all
from tutelage.data.formats.found import (
    Found,
    ImageSet,
    Listed,
    Options,
    Part,
    join_parts,
    list_folder,
)
from tutelage.errors import UserError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation"),
}


def find(path: Path) -> list[Found]:
    """Folder `path`, if some folder in it holds images."""
    folders = list_folder(path).folders
    if any(_holds_images(path / folder, ()) for folder in folders):
        return [Found("a folder of images", path, partial(_list_files, path), is_folder=True)]
    return []


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def simplified(name: str) -> str:
    """The letters and digits of a class's name in lower case, by which two spellings are one."""
    return "".join(character for character in name.casefold() if character.isalnum())


def _holds_images(folder: Path, above: tuple[str, ...]) -> bool:
    files, folders = list_folder(folder)
    above = _deeper(folder, above)
    return any(map(is_image, files)) or any(_holds_images(folder / f, above) for f in folders)


def _deeper(folder: Path, above: tuple[str, ...]) -> tuple[str, ...]:
    """The real paths of a folder and those above it. UserError when it is one of them again."""
    real = os.path.realpath(folder)
    if real in above:
        raise UserError(
            "this link leads back to a folder above it.", where=str(folder), fix="Remove it."
        )
    return (*above, real)


def _list_files(root: Path, options: Options) -> Listed:
    folders = _splits(root)
    splits = {split: _classes(root / name, options.classes) for split, name in folders.items()}
    _check_several(splits["train"], root / folders["train"])
    for split in splits:
        _check_same(splits, folders, split, root)
    names = in_order(list(splits["train"]), options.known)
    files = {
        split: [
            (os.path.join(folders[split], image), label)
            for label, name in enumerate(names)
            for image in classes.get(name, ())
        ]
        for split, classes in splits.items()
    }
    every = tuple(file for listed in files.values() for file, _ in listed)
    read = partial(_read, root, files, tuple(names), options)
    return Listed(root, every, read, files, tuple(names))


def _splits(root: Path) -> dict[str, str]:
    """The folder of each split, relative to `root`; "" is `root` itself. Train comes first."""
    folders = list_folder(root).folders
    found = {}
    for split, spellings in SPLITS.items():
        matching = [folder for folder in folders if folder.lower() in spellings]
        if len(matching) > 1:
            raise UserError(
                f"{' and '.join(f'{name}/' for name in matching)} are both here.",
                where=str(root),
                fix=f"Only one folder can hold the {split} images.",
            )
        if matching:
            found[split] = matching[0]
    if found and "train" not in found:
        raise UserError(
            f"there is {next(iter(found.values()))}/ here, and no train/.",
            where=str(root),
            fix="Images are looked for as train/<class>/<image>, or as <class>/<image> alone.",
        )
    return found or {"train": ""}


def _classes(base: Path, rule: str) -> dict[str, list[str]]:
    """The images of each class of a split, as sorted paths relative to its folder `base`."""
    folders = list_folder(base).folders
    if not folders:
        raise UserError(
            "there are no class folders here.",
            where=str(base),
            fix=f"Images are looked for as {base.name}/<class>/<image>. If '{base.name}' is itself "
            "a class, move all class folders into a folder named train.",
        )
    classes: dict[str, list[str]] = {}
    for name in folders:
        by_folder = _images_by_folder(base / name, name, ())
        _check_no_data_set(base / name, by_folder)
        if rule == "leaf":
            classes |= by_folder
        elif by_folder:
            classes[name] = [image for images in by_folder.values() for image in images]
        else:
            raise UserError(
                f"class '{name}' has no images.",
                where=str(base / name),
                fix="Images end in " + ", ".join(SUFFIXES) + ".",
            )
    return classes


def _check_several(classes: dict[str, list[str]], base: Path) -> None:
    if len(classes) < 2:
        name = next(iter(classes), "")
        raise UserError(
            "there is only one class folder.",
            where=str(base),
            fix="A study needs two classes or more, each in a folder of its own. If the classes "
            f"lie in '{name}', name {base / name} as the path, or set data.classes to leaf.",
        )


def _check_no_data_set(folder: Path, by_folder: dict[str, list[str]]) -> None:
    """UserError when what would be a class, with images in these folders, is a whole data set."""
    names = {relative.lower().split("/")[1] for relative in by_folder if "/" in relative}
    tests = {*SPLITS["test"], *SPLITS["validation"]}
    if names & set(SPLITS["train"]) and names & tests:
        raise UserError(
            "this folder is not one class: it holds training and test images.",
            where=str(folder),
            fix=f"If it is the data set, name it as the path: --data {folder}.",
        )


def _images_by_folder(folder: Path, relative: str, above: tuple[str, ...]) -> dict[str, list[str]]:
    """The images right in each folder from `folder` down, by the folder's relative path."""
    files, folders = list_folder(folder)
    above = _deeper(folder, above)
    images = [f"{relative}/{file}" for file in files if is_image(file)]
    found = {relative: images} if images else {}
    for name in folders:
        found |= _images_by_folder(folder / name, f"{relative}/{name}", above)
    return found


def in_order(names: list[str], known: tuple[str, ...] | None) -> list[str]:
    """Classes by name, by value if all are whole numbers, or in the order of a known data set."""
    by_name = {simplified(name): name for name in names}
    wanted = [simplified(name) for name in known or ()]
    if len(by_name) == len(names) and set(by_name) == set(wanted):
        return [by_name[name] for name in wanted]
    if all(re.fullmatch("[0-9]{1,18}", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _check_same(
    splits: dict[str, dict[str, list[str]]], folders: dict[str, str], split: str, root: Path
) -> None:
    """UserError when a split has a class that train has not, or the test set lacks one."""
    joined = split == "validation" and "test" in splits  # its images join train
    pairs = [(split, "train")] if joined else [(split, "train"), ("train", split)]
    for one, other in pairs:
        alone = sorted(set(splits[one]) - set(splits[other]))
        if alone:
            raise UserError(
                f"class '{alone[0]}' is in {folders[one]}/ but not in {folders[other]}/.",
                where=str(root / folders[one] / alone[0]),
                fix="Both need the same class folders; without test/, a test split is drawn.",
            )


def _read(
    root: Path, files: dict[str, list[tuple[str, int]]], names: tuple[str, ...], options: Options
) -> ImageSet:
    paths = [root / file for listed in files.values() for file, _ in listed]
    images, original = decode_all(paths, options)
    parts, start = {}, 0
    for split, listed in files.items():
        labels = np.array([label for _, label in listed], np.int64)
        parts[split] = Part(images[start : start + len(listed)], labels)
        start += len(listed)
    train, test = join_parts(parts)
    return ImageSet(train, test, names, original)
