"""The verbs on a student that leaves the store: export, evaluate, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_Store = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of results [default: $TUTELAGE_STORE or tutelage-store]."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]


def add_verbs(app: typer.Typer) -> None:
    """Makes these verbs commands of `app`."""
    for verb in (export, evaluate, predict):
        app.command()(verb)


def export(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[RUN|STUDY]",
            help="A study (name, id, or `last`), of which the best student is taken; or a run's id "
            "or key.",
        ),
    ] = "last",
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")] = Path(
        "student"
    ),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="safetensors, torch, onnx or onnx-int8 (may be repeated) [default: all].",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Where the study's images are now, if moved.")
    ] = None,
    store: _Store = None,
) -> None:
    """Write a student as files for other programs, with a card. Each file is checked against the
    original."""
    from tutelage.cli import ship

    ship.export_student(what, output, formats, data=data, store=store)


def evaluate(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[FILE|RUN|STUDY]",
            help="An exported student (folder or file), a run's id or key, or a study, of which "
            "the best student is taken.",
        ),
    ] = "last",
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Labelled images, in any format that a study reads: a folder, .csv, .parquet, "
            ".npz, a saved dataset [default: the test images of its study].",
        ),
    ] = None,
    store: _Store = None,
    json: _Json = False,
) -> None:
    """Print a student's error, by class too, and its calibration."""
    from tutelage.cli import ship

    ship.evaluate_student(what, data, store=store, as_json=json)


def predict(
    student: Annotated[
        str, typer.Argument(help="An exported student: its folder, or a file of it.")
    ],
    images: Annotated[
        list[str], typer.Argument(help="Image files, or folders of them; no tables of paths.")
    ],
    json: _Json = False,
) -> None:
    """Print the class of image files, with its probability."""
    from tutelage.cli import ship

    ship.predict_images(student, images, as_json=json)
