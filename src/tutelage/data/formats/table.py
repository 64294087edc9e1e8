"""A CSV file that lists images: columns `path` and `label`, perhaps `split`; others are ignored.

Paths are relative to the file's own folder, or absolute. Classes are the different labels, in the
order that folders of their names would have. `split` is train, test or validation (in any spelling
that folders may have) in every row; without the column all rows are train. Validation is handled as
in a folder of images. Images are decoded as decode.py says.
"""

from __future__ import annotations

import csv
import os
from functools import partial
from pathlib import Path

from tutelage.data.formats.found import Found, Listed, Options, reading
from tutelage.data.formats.image_folder import in_order
from tutelage.data.formats.rows import Row, read_rows, split_of
from tutelage.errors import UserError

NEEDED = ("path", "label")


def find(file: Path) -> list[Found]:
    """`file`, if its name ends in .csv."""
    if file.suffix.lower() != ".csv":
        return []
    return [Found("a CSV file of images", file, partial(_list_files, file))]


def _list_files(file: Path, options: Options) -> Listed:
    rows = _rows(file)
    names = in_order(sorted({row.label for row in rows}), options.known)
    images = (os.path.relpath(str(row.image), file.parent) for row in rows)
    return Listed(
        file.parent, (file.name, *images), partial(read_rows, rows, tuple(names), options)
    )


def _rows(file: Path) -> list[Row]:
    """All rows, checked. UserError with file and line of the first mistake."""
    try:
        with reading(file), open(file, encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, strict=True)
            columns = reader.fieldnames or []
            missing = [name for name in NEEDED if name not in columns]
            if missing:
                raise UserError(
                    f"there is no column '{missing[0]}'; the columns are "
                    f"{', '.join(columns) or 'none'}.",
                    where=f"{file}, line 1",
                    fix="The first line names the columns: path,label or path,label,split.",
                )
            rows = [_row(file, reader.line_num, values) for values in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(
            f"this is no CSV file in UTF-8 ({error}).", where=str(file), fix="Save it as one."
        ) from error
    if not any(row.split == "train" for row in rows):
        raise UserError("no row is a training image.", where=str(file))
    return rows


def _row(file: Path, line: int, values: dict[str, str | None]) -> Row:
    where = f"{file}, line {line}"
    if None in values:
        raise UserError(
            "there are more values than columns.",
            where=where,
            fix='Put a value that holds a comma in quotes: "a,b.png".',
        )
    for name in (*NEEDED, *(["split"] if "split" in values else [])):
        if not (values[name] or "").strip():
            raise UserError(f"there is nothing in column '{name}'.", where=where)
    path, label = (values["path"] or "").strip(), (values["label"] or "").strip()
    if not os.path.isfile(file.parent / path):
        raise UserError(
            f"there is no file {path}.",
            where=where,
            fix=f"Paths are relative to {file.parent}, or absolute.",
        )
    written = (values.get("split") or "train").strip()
    return Row(file.parent / path, label, split_of(written, f"{where}, column 'split'"))
