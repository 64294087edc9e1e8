"""Arrow tables of images: Parquet files, and folders that Hugging Face's `datasets` has saved.

A row is an image with its label, as `datasets` writes them (a column of bytes, or of `{bytes,
path}`), or a path with its label, as in a CSV file (see table.py). The label is a number or a name;
numbers of a ClassLabel have its names, in its order, and other labels are classes in the order that
folders of their names would have. Splits are told by file names (`train-00000-of-00002.parquet`),
by folders (`test/0.parquet`), by what `save_to_disk` noted, or by a column `split`.

pyarrow reads them; `datasets` itself is not needed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.data.formats.decode import Blob
from tutelage.data.formats.found import Found, ImageSet, Listed, Options, list_folder, reading
from tutelage.data.formats.image_folder import SPLITS, in_order
from tutelage.data.formats.rows import Row, read_rows, split_of
from tutelage.errors import UserError

_SUFFIX = ".parquet"
LABELS = ("label", "labels", "fine_label")  # the last is CIFAR-100's, beside a coarse one
_SPELLINGS = {spelling: split for split, all_ in SPLITS.items() for spelling in all_}


def find(place: Path) -> list[Found]:
    """`place`, if it is a Parquet file, a folder of them, or one that `save_to_disk` wrote."""
    if place.suffix.lower() == _SUFFIX and not place.is_dir():
        return [Found("a Parquet file", place, partial(_list_files, place.parent, [(place, "")]))]
    if not place.is_dir():
        return []
    names = list_folder(place).files
    if "dataset_dict.json" in names or {"state.json", "dataset_info.json"} <= {*names}:
        what = "a data set saved by Hugging Face's datasets"
        return [Found(what, place, partial(_list_saved, place))]
    files = _parquet_files(place) or _one_below(place)
    return [Found("Parquet files", place, partial(_list_files, place, files))] if files else []


def _one_below(place: Path) -> list[tuple[Path, str]]:
    """The Parquet files in the one folder in `place` that has some: on a hub, one for each
    configuration of a data set, and often `data`. UserError where several have."""
    each = {name: _parquet_files(place / name) for name in list_folder(place).folders}
    having = [name for name, files in each.items() if files]
    if len(having) > 1:
        raise UserError(f"there are Parquet files in {', '.join(having)}.", where=str(place),
                        fix=f"Name one: --data {place / having[0]}")  # fmt: skip
    return each[having[0]] if having else []


def _parquet_files(folder: Path) -> list[tuple[Path, str]]:
    """The Parquet files in `folder`, and in its folders that are named like splits, with the word
    that names their split ("" for none)."""
    if not folder.is_dir():
        return []
    files, folders = list_folder(folder)
    found = [(folder / name, _word(name)) for name in files if name.lower().endswith(_SUFFIX)]
    for name in folders:
        if name.lower() in _SPELLINGS:
            inside = list_folder(folder / name).files
            found += [(folder / name / each, name) for each in inside
                      if each.lower().endswith(_SUFFIX)]  # fmt: skip
    return found


def _word(name: str) -> str:
    """The word for the split in a file's name: train of train-00000-of-00001.parquet."""
    stem = name[: -len(_SUFFIX)]
    word = re.split(r"[-.]", stem, maxsplit=1)[0]
    return "" if re.fullmatch("[0-9]+", word) else word


def _list_files(root: Path, files: Sequence[tuple[Path, str]], options: Options) -> Listed:
    """One file without a known word is train; of several, each must be named like a split."""
    words = {word.lower() for _, word in files}
    named = len(files) > 1 and bool(words & _SPELLINGS.keys())
    splits = [
        (file, split_of(word, str(file)) if named else _SPELLINGS.get(word.lower(), "train"))
        for file, word in files
    ]
    return _listed(root, splits, options)


def _list_saved(root: Path, options: Options) -> Listed:
    notes = _json(root / "dataset_dict.json") if (root / "dataset_dict.json").is_file() else None
    folders = [(root, "train")]
    if notes is not None:
        folders = [(root / str(name), split_of(str(name), str(root / str(name))))
                   for name in notes.get("splits", [])]  # fmt: skip
    files = [
        (folder / str(each["filename"]), split)
        for folder, split in folders
        for each in _json(folder / "state.json").get("_data_files", [])
    ]
    if not files:
        raise UserError("this data set has no files.", where=str(root), fix="Save it again.")
    return _listed(root, files, options)


def _json(file: Path) -> dict[str, Any]:
    try:
        with reading(file):
            found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"this is no JSON ({error}).", where=str(file)) from error
    if not isinstance(found, dict):
        raise UserError("this does not hold what save_to_disk writes.", where=str(file))
    return found


def _listed(root: Path, files: Sequence[tuple[Path, str]], options: Options) -> Listed:
    """Tables of images are looked at here and read later; of paths, all of them are files."""
    own: list[str] | None = None
    outside: list[str] = []
    for number, (file, split) in enumerate(files):
        schema = _opened(file, _schema)
        columns = _columns(schema, file)
        names = _class_names(schema, columns.label)
        if number and names != own:
            raise UserError("its classes are not those of the files before it.", where=str(file))
        own = names
        if columns.image is None:
            outside += [str(row.image) for row in _rows(file, split)]
    every = (os.path.relpath(file, root) for file in (*(str(file) for file, _ in files), *outside))
    return Listed(root, tuple(every), partial(_read, root, tuple(files), own, options))


def _read(
    root: Path, files: Sequence[tuple[Path, str]], own: Sequence[str] | None, options: Options
) -> ImageSet:
    rows = [row for file, split in files for row in _rows(file, split)]
    if not any(row.split == "train" for row in rows):
        raise UserError("no row is a training image.", where=str(root))
    names = own or in_order(sorted({row.label for row in rows}), options.known)
    return read_rows(rows, names, options)


def _opened(file: Path, look: Callable[[Path], Any]) -> Any:
    """What `look` sees in `file`. Raises UserError where pyarrow is missing or cannot read it."""
    try:
        import pyarrow as pa
    except ImportError:
        raise UserError(
            "this is read by pyarrow, which is not installed.", where=str(file),
            fix="pip install 'tutelage[tables]'",
        ) from None  # fmt: skip
    try:
        with reading(file):
            return look(file)
    except UserError:
        raise
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"this cannot be read ({reason}).", where=str(file),
                        fix="Write it again.") from error  # fmt: skip


def _schema(file: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    if file.suffix.lower() == _SUFFIX:
        return parquet.read_schema(file)
    with pa.memory_map(str(file)) as mapped:
        return pa.ipc.open_stream(mapped).schema


def _table(file: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    if file.suffix.lower() == _SUFFIX:
        return parquet.ParquetFile(file).read()
    with pa.memory_map(str(file)) as mapped:
        return pa.ipc.open_stream(mapped).read_all()


class _Columns(NamedTuple):
    image: str | None  # of bytes, or of {bytes, path}
    path: str | None
    label: str
    split: str | None


def _columns(schema: Any, file: Path) -> _Columns:
    """The columns of a table that hold image, label and split. Raises UserError where they are
    missing or more than one may be meant."""
    images = [field.name for field in schema if _holds_bytes(field.type)]
    path = "path" if "path" in schema.names else None
    label = next((name for name in LABELS if name in schema.names), None)
    if label is None:
        of_classes = [name for name, each in _features(schema).items() if "names" in each]
        label = of_classes[0] if len(of_classes) == 1 else None
    listed = f"the columns are {', '.join(schema.names) or 'none'}."
    if len(images) > 1 or not (images or path):
        what = "more than one column of images" if images else "no column of images or paths"
        raise UserError(f"there is {what}; {listed}", where=str(file),
                        fix="Keep one, called image, or one of files, called path.")  # fmt: skip
    if label is None:
        raise UserError(f"no column is the label; {listed}", where=str(file),
                        fix="Call it label.")  # fmt: skip
    split = "split" if "split" in schema.names else None
    return _Columns(images[0] if images else None, None if images else path, label, split)


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(kind.field(n).name == "bytes" for n in range(kind.num_fields))
    return types.is_binary(kind) or types.is_large_binary(kind)


def _features(schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """What `datasets` noted of the columns in the schema, if it wrote the file."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = noted["info"]["features"]
        return {name: each for name, each in features.items() if isinstance(each, dict)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _class_names(schema: Any, label: str) -> list[str] | None:
    names = _features(schema).get(label, {}).get("names")
    return [str(name) for name in names] if isinstance(names, list) else None


def _rows(file: Path, split: str) -> Iterator[Row]:
    """The rows of a file, checked; those without a word for their split are of `split`."""
    table = _opened(file, _table)
    columns = _columns(table.schema, file)
    names = _class_names(table.schema, columns.label)
    labels = table.column(columns.label).to_pylist()
    images = table.column(columns.image or columns.path).to_pylist()
    splits = table.column(columns.split).to_pylist() if columns.split else [split] * len(labels)
    for number, (image, label, word) in enumerate(zip(images, labels, splits, strict=True)):
        where = f"{file}, row {number}"
        own = word if word in SPLITS else split_of(str(word), f"{where}, column 'split'")
        yield Row(_image(file, image, where), _label(label, names, where), own)


def _label(label: Any, names: Sequence[str] | None, where: str) -> str:
    if label is None or label == "" or (isinstance(label, int) and label < 0):
        raise UserError(
            f"this image has no label ({label}).", where=where,
            fix="Leave out what has no label: a test set without labels tests nothing.",
        )  # fmt: skip
    if names is None:
        return str(label)
    if not isinstance(label, int) or label >= len(names):
        raise UserError(f"the label is {label!r}; there are {len(names)} classes.", where=where)
    return names[label]


def _image(file: Path, image: Any, where: str) -> Path | Blob:
    data = image.get("bytes") if isinstance(image, dict) else image
    if isinstance(data, bytes):
        return Blob(data, where)
    path = image.get("path") if isinstance(image, dict) else image
    if not isinstance(path, str) or not path:
        raise UserError("there is no image.", where=where)
    if not os.path.isfile(file.parent / path):
        raise UserError(f"there is no file {path}.", where=where,
                        fix=f"Paths are relative to {file.parent}, or absolute.")  # fmt: skip
    return file.parent / path
