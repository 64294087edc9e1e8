"""The verb `distill`: a study of one student and one teacher, run and told in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from tutelage.api import Study, StudyResult
from tutelage.cli.run import execute
from tutelage.data.sources import SOURCES
from tutelage.distilling import distillation, write_study
from tutelage.reporting.words import number


def distil(
    student: str,
    teacher: str,
    data: str,
    *,
    store: Path | None,
    workers: int | None,
    device: str,
    write: Path | None,
    output: Path | None,
    export: bool,
    **options: Any,
) -> bool:
    """Run, print, report and export; or write the study and stop. Returns whether a run failed."""
    console = Console()
    path, source = where_images_are(data)
    config = distillation(student, teacher, path, source=source, **options)
    if write is not None:
        write_study(config, write)
        console.print(f"{write}: run it with `tutelage run {write}`.", highlight=False)
        return False
    result = execute(Study(config).prepare(store, device), workers, console)
    if result.failures:
        return True
    console.print(f"\n{in_words(result)}", highlight=False, soft_wrap=True)
    if export:
        console.print()
        _export(result, output or Path(config.name))
    return False


def _export(result: StudyResult, folder: Path) -> None:
    """The student to take, as files: all formats that the packages at hand can write."""
    from tutelage.cli.ship import tell_export
    from tutelage.exporting.formats import at_hand, has_onnx

    tell_export(result.export(folder, formats=at_hand()))
    if not has_onnx():
        told = "No ONNX file: pip install 'tutelage[export]', then `tutelage export`."
        Console().print(told, highlight=False, markup=False, soft_wrap=True)


def where_images_are(data: str) -> tuple[str | None, str]:
    """Path and data set: a set that needs no files by its name, anything else is a path."""
    return (None, data) if data in SOURCES and not Path(data).exists() else (data, "files")


def in_words(result: StudyResult) -> str:
    """Which student to take, and why."""
    best = result.best()
    names = [each["condition"] for each in result.runs if each["role"] == "student"]
    taken = f"Take {best['condition']}, replicate {best['replicate']}, run {best['id'][:12]}: "
    return (
        f"{taken}{number(best['val_error'], 1)} % validation error, by which it was chosen of "
        f"{len(names)} students, and {number(best['test_error'], 1)} % test error. "
        f"{result.findings[0]['sentence']}"
    )
