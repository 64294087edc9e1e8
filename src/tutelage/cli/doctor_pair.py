"""`doctor --student S --teacher T --data D`: what is wrong, before anything is trained."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from tutelage.cli.distill import where_images_are
from tutelage.distilling import distillation
from tutelage.errors import UserError
from tutelage.store import Store
from tutelage.study.context import Context
from tutelage.study.examine import examine_pair


def examine(
    student: str, teacher: str, data: str, *, size: int | None, views: str | None, fine_tune: bool
) -> bool:
    """Run all checks and print what each found; returns whether all is well."""
    console, well = Console(), True
    with tempfile.TemporaryDirectory() as folder:
        try:
            path, source = where_images_are(data)
            config = distillation(
                student, teacher, path, source=source, size=size, views=views, epochs=2,
                replicates=1, fine_tune=fine_tune, early=False,
            )  # fmt: skip
            context = Context.create(Store.open(Path(folder)), config, "cpu")
            for found in examine_pair(context):
                well &= found.well
                word = "[green]ok[/green]       " if found.well else "[red]problem[/red]  "
                console.print(word, end="")
                console.print(f"{found.text}", highlight=False, markup=False, soft_wrap=True)
                if not found.well and found.fix:
                    console.print(f"         {found.fix}", highlight=False, markup=False)
        except UserError as error:
            console.print("[red]problem[/red]  ", end="")
            console.print(str(error), highlight=False, markup=False, soft_wrap=True)
            return False
    return well
