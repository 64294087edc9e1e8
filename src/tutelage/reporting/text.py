"""Results and findings on the terminal."""

from __future__ import annotations

import textwrap

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tutelage.reporting import grids
from tutelage.reporting.summary import Condition, Row, Summary, Teacher
from tutelage.reporting.words import (
    beside_paper,
    magnitude,
    number,
    plus_minus,
    sentences,
    unbroken,
    verdict,
)

_WIDEST = 96  # columns of running text


def print_results(results: Row, console: Console) -> None:
    """Print conditions, teachers, findings and sentences; the narrowest form of the report."""
    summary = Summary(results)
    console.print()
    console.print(_conditions(summary))
    console.print()
    if summary.teachers:
        console.print(_teachers(summary))
        console.print()
    console.print(
        Text("± is half of a 95 % t interval over replicates; n is replicates × students.", "dim")
    )
    for line in grids.unfinished(summary):
        console.print(Text(line, "yellow"))
    if summary.findings:
        _heading(console, "Findings")
    for finding in summary.findings:
        said = [finding["sentence"], *beside_paper(summary.paper.get(finding["claim"]))]
        _say(console, finding["verdict"], finding["claim"], finding["rank"], said)
    if summary.sentences:
        _heading(console, "Two sentences, never one")
    for sentence in summary.sentences:
        name = f"({sentence['sentence']})"
        _say(console, sentence["verdict"], name, "", sentences(sentence["text"]))
    if summary.mimicry:
        _heading(console, "Mimicry")
    for sentence in summary.mimicry:
        _say(console, sentence["verdict"], sentence["sentence"], "", sentences(sentence["text"]))
    _equal_compute(summary, console)


def _equal_compute(summary: Summary, console: Console) -> None:
    if summary.equal_compute:
        _heading(console, "Equal compute")
    for sentence in summary.equal_compute:
        console.print(Text(sentence["sentence"], "bold"))
        for text in sentences(sentence["text"]):
            console.print(_indented(text, min(console.width, _WIDEST)))
        console.print()


def _heading(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}\n", "bold underline"))


def _say(console: Console, word: str, name: str, rank: str, texts: list[str]) -> None:
    """A line with verdict and name, and what it says below it, indented."""
    look = verdict(word)
    line = Text.assemble(
        (f"{look.mark} {look.word}", look.style), "  ", (name, "bold"), (f"  {rank}", "dim")
    )
    line.rstrip()
    console.print(line)
    for text in texts:
        console.print(_indented(text, min(console.width, _WIDEST)))
    console.print()


def _indented(text: str, width: int) -> Text:
    """A paragraph with its lines wrapped, where no number parts from its percent sign."""
    lines = textwrap.fill(unbroken(text), width, initial_indent="  ", subsequent_indent="  ")
    return Text(lines.replace("\N{NO-BREAK SPACE}", " "))


def _table(title: str) -> Table:
    return Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", show_edge=False, pad_edge=False
    )


def _conditions(summary: Summary) -> Table:
    table = _table("Students")
    table.add_column("condition", overflow="fold")
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
    table = _table("Teachers")
    table.add_column("teacher", overflow="fold")
    table.add_column("model", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("stop")
    table.add_column("error, %", justify="right", no_wrap=True)
    for teacher in summary.teachers:
        table.add_row(*(Text(cell) for cell in _teacher(teacher)))
    return table


def _teacher(teacher: Teacher) -> list[str]:
    return [
        teacher.name,
        teacher.row["model"],
        magnitude(teacher.row["parameters"]),
        "\n".join(_stop(teacher)),
        plus_minus(teacher.interval("test_error"), 1),
    ]


def _stop(teacher: Teacher) -> list[str]:
    """Its stop, and below that what else made it: its scale with the factor, its own teacher."""
    lines = [teacher.kind]
    scaled, taught = teacher.row.get("scaled"), teacher.row.get("taught_by")
    factor = teacher.interval("factor")
    if scaled:
        lines.append(scaled + (f", ×{number(factor.mean)}" if factor else ""))
    if taught:
        lines.append(f"taught by {taught}")
    return lines
