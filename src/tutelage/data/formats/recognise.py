"""Which data set lies at a path: exactly one is found, or a UserError says what was looked for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tutelage.data.formats import arrow, cifar, idx, image_folder, npz, table
from tutelage.data.formats.found import Found, list_folder, reading
from tutelage.errors import UserError

LOOKED_FOR = (
    "Looked for: folders of images as train/<class>/<image> or <class>/<image>; CIFAR files "
    "(data_batch_1.bin, train.bin, data_batch_1, train); idx files (train-images-idx3-ubyte[.gz]); "
    "one .npz file; Parquet files (train-00000-of-00001.parquet) and what datasets' save_to_disk "
    "wrote. A CSV file of paths and labels is named itself: --data labels.csv."
)
_UNPACK = {
    ".zip": "unzip {name} -d FOLDER",
    **dict.fromkeys(
        (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz"), "tar -xf {name} -C FOLDER"
    ),
    ".7z": "7z x {name} -oFOLDER",
    ".rar": "unrar x {name} FOLDER",
}


def recognise(path: str | None, *, only_folders: bool = False) -> Found:
    """The data set at `path` ('~' is the home folder), a folder, or a .npz, .csv or .parquet file.

    With `only_folders`, it must be a folder of images. UserError when the path is missing or
    cannot be read, when nothing is recognised there, and when more than one data set is.
    """
    if not path:
        raise UserError(
            "the data set is not named.", where="data.path", fix="Say where it is: --data PATH."
        )
    place = Path(os.path.expanduser(path))
    if not _is_folder(place):
        return _recognise_file(place, only_folders)
    formats = (cifar, idx, npz, arrow, image_folder)
    found = [each for reader in formats for each in reader.find(place)]
    if not found:
        raise _nothing(place)
    if len(found) > 1:
        listed = "; ".join(f"{each.what} in {each.root}" for each in found)
        raise UserError(
            f"there is more than one data set here: {listed}.",
            where=str(place),
            fix="Name the folder or file that holds only the one that is meant.",
        )
    if only_folders and not found[0].is_folder:
        raise _no_folder(place, found[0])
    return found[0]


def _is_folder(place: Path) -> bool:
    """Whether `place` is a folder; UserError when there is nothing."""
    with reading(place):
        try:
            return stat.S_ISDIR(os.stat(place).st_mode)
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # or a zero byte
            raise UserError(
                "there is no such folder or file.",
                where=str(place),
                fix="Say where the data set is: --data PATH.",
            ) from error


def _recognise_file(file: Path, only_folders: bool) -> Found:
    archive = _how_to_unpack(file.name)
    if archive:
        raise UserError(
            "this is a packed archive.",
            where=str(file),
            fix=f"Unpack it and name the folder: {archive}",
        )
    found = npz.find(file) or table.find(file) or arrow.find(file)
    if not found:
        wanted = "" if only_folders else ", nor a .npz, .csv or .parquet file"
        raise UserError(
            f"this is a file, not a folder{wanted}.",
            where=str(file),
            fix="Name the folder that holds the data set.",
        )
    if only_folders:
        raise _no_folder(file, found[0])
    return found[0]


def _no_folder(place: Path, found: Found) -> UserError:
    return UserError(
        f"this is no folder of images, but {found.what}.",
        where=str(place),
        fix="Set data.source to files, or to the name of the data set.",
    )


def _nothing(folder: Path) -> UserError:
    files, folders = list_folder(folder)
    if any(map(image_folder.is_image, files)):
        return UserError(
            "there are images here, but no class folders.",
            where=str(folder),
            fix="Put the images of each class into a folder of its own: <class>/<image>; or list "
            "them in a CSV file with columns path and label, and name that.",
        )
    packed = [name for name in files if _how_to_unpack(name)]
    if packed:
        return UserError(
            f"the data set here is still packed ({', '.join(packed)}).",
            where=str(folder),
            fix=f"Unpack it and name the folder: {_how_to_unpack(packed[0])}",
        )
    if not files and not folders:
        return UserError("this folder is empty.", where=str(folder), fix=LOOKED_FOR)
    return UserError("no data set is recognised here.", where=str(folder), fix=LOOKED_FOR)


def _how_to_unpack(name: str) -> str | None:
    for suffix, command in _UNPACK.items():
        if name.lower().endswith(suffix):
            return command.format(name=name)
    return None
