"""Results and findings on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tutelage.reporting import grids
from tutelage.reporting.summary import Condition, Row, Summary, Teacher
from tutelage.reporting.words import NONE, parameters, plus_minus, verdict


def print_results(results: Row, console: Console) -> None:
    """Print conditions, teachers, findings and sentences; the narrowest form of the report."""
    summary = Summary(results)
    console.print()
    console.print(_conditions(summary))
    if summary.teachers:
        console.print(_teachers(summary))
    console.print(
        "± is half of a 95 % t interval over replicates; students of a replicate are averaged.",
        style="dim",
        highlight=False,
    )
    for line in grids.unfinished(summary):
        console.print(line, style="yellow", markup=False)
    if summary.findings:
        console.print("\n[bold]Findings[/bold]")
    for finding in summary.findings:
        head = f"{finding['claim']} ({finding['rank']})"
        _say(console, finding["verdict"], head, finding["sentence"])
    for sentence in summary.sentences:
        _say(console, sentence["verdict"], f"({sentence['sentence']})", sentence["text"])


def _say(console: Console, word: str, head: str, text: str) -> None:
    look = verdict(word)
    line = Text.assemble((f"{look.mark} {look.word}", look.style), "  ", (head, "bold"), "  ", text)
    console.print(line)


def _conditions(summary: Summary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Students", title_justify="left")
    table.add_column("condition", no_wrap=True)
    for name in ("test error, %", "minus scratch", "validation, %", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for condition in summary.conditions:
        table.add_row(*(Text(cell) for cell in _condition(summary, condition)))
    return table


def _condition(summary: Summary, condition: Condition) -> list[str]:
    return [
        condition.name,
        plus_minus(condition.interval("test_error"), 1),
        plus_minus(summary.minus_scratch(condition), 1, sign=True),
        plus_minus(condition.interval("val_error"), 1),
        condition.counts,
    ]


def _teachers(summary: Summary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Teachers", title_justify="left")
    table.add_column("teacher", no_wrap=True)
    table.add_column("model and stop")
    for name in ("parameters", "test error, %", "factor"):
        table.add_column(name, justify="right", no_wrap=True)
    for teacher in summary.teachers:
        table.add_row(*(Text(cell) for cell in _teacher(teacher)))
    return table


def _teacher(teacher: Teacher) -> list[str]:
    factor = teacher.interval("factor")
    return [
        teacher.name,
        teacher.description,
        parameters(teacher.row["parameters"]),
        plus_minus(teacher.interval("test_error"), 1),
        plus_minus(factor, 2) if factor else NONE,
    ]
