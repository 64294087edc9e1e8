"""The tables of a report as plain text cells; page, Markdown and terminal draw them their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tutelage.reporting.summary import Condition, Row, Summary, Teacher
from tutelage.reporting.words import (
    NONE,
    listing,
    magnitude,
    number,
    plural,
    plus_minus,
    seconds,
)

_DIGEST = 10  # leading characters that are shown
_ROUNDING = 1e-6  # percent; what two ways of averaging the same images may differ by


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and whether it holds numbers (set flush right)."""

    name: str
    number: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell says, a remark under it, and how strongly it is shaded (0 to 1; None: not)."""

    text: str
    note: str = ""
    heat: float | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; the first cell of each row names it."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


def conditions_grid(summary: Summary) -> Grid:
    """Every condition with its error and its difference to scratch, over replicates.

    The class-balanced error has a column where it differs from the error.
    """
    balanced = balance(summary) == "differs"
    columns = [
        Column("condition", number=False),
        Column("teacher", number=False),
        Column("n"),
        Column("test error, %"),
        *([Column("balanced error, %")] if balanced else []),
        Column("minus scratch, points"),
        Column("validation error, %"),
        Column("train agreement, %"),
    ]
    rows = [_condition(summary, condition, balanced) for condition in summary.conditions]
    return Grid(columns, rows)


def balance(summary: Summary) -> Literal["unknown", "same", "differs"]:
    """Whether the students' class-balanced errors are their errors, to rounding."""
    found = [
        abs(run["test_balanced_error"] - run["test_error"])
        for condition in summary.conditions
        for run in condition.runs
        if run.get("test_balanced_error") is not None and run.get("test_error") is not None
    ]
    if not found:
        return "unknown"
    return "same" if max(found) < _ROUNDING else "differs"


def _condition(summary: Summary, condition: Condition, balanced: bool) -> list[Cell]:
    even = [Cell(plus_minus(condition.interval("test_balanced_error")))] if balanced else []
    teacher = condition.teacher
    described = f"{condition.row['student']}, {condition.row['loss']}{_stops(condition)}"
    return [
        Cell(condition.name, described),
        Cell(teacher.name, teacher.description) if teacher else Cell(NONE),
        Cell(condition.counts),
        Cell(plus_minus(condition.interval("test_error")), _without_diverged(condition)),
        *even,
        Cell(plus_minus(summary.minus_scratch(condition), sign=True)),
        Cell(plus_minus(condition.interval("val_error"))),
        Cell(plus_minus(condition.interval("train_agreement"))),
    ]


def _stops(condition: Condition) -> str:
    """After how many epochs students were taught no more, where that was not set beforehand."""
    counts = {run.get("taught_epochs") for run in condition.runs}
    found = sorted(count for count in counts if count is not None)
    if not found or found == [condition.row.get("distil_until") or 0]:
        return ""
    span = f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"
    return f"; stopped after {span} epochs"


def _without_diverged(condition: Condition) -> str:
    if not condition.diverged:
        return ""
    without = plus_minus(condition.interval("test_error", diverged=False))
    return f"{condition.diverged} diverged; {without} without"


def teachers_grid(summary: Summary) -> Grid:
    """The teachers' own figures, over replicates."""
    columns = (
        Column("teacher", number=False),
        Column("stop", number=False),
        Column("stop epoch"),
        Column("parameters"),
        Column("test error, %"),
        Column("validation error, %"),
        Column("entropy, nats"),
        Column("ECE, %"),
        Column("factor"),
        Column("n"),
    )
    return Grid(columns, [_teacher(teacher) for teacher in summary.teachers])


def _teacher(teacher: Teacher) -> list[Cell]:
    taught = teacher.row.get("taught_by")
    model = teacher.row["model"] + (f", taught by {taught}" if taught else "")
    return [
        Cell(teacher.name, model),
        Cell(teacher.kind, teacher.row.get("scaled") or ""),
        Cell(teacher.stop_epochs or NONE),
        Cell(magnitude(teacher.row["parameters"]), f"{magnitude(teacher.row['macs'])} MACs"),
        Cell(plus_minus(teacher.interval("test_error"))),
        Cell(plus_minus(teacher.interval("val_error"))),
        Cell(plus_minus(teacher.interval("test_entropy"))),
        Cell(plus_minus(teacher.interval("test_ece"))),
        Cell(plus_minus(teacher.interval("factor"))),
        Cell(str(teacher.measured), f"{teacher.diverged} diverged" if teacher.diverged else ""),
    ]


def cost_grid(summary: Summary) -> Grid:
    """Seconds by role, and in all."""
    columns = (
        Column("role", number=False),
        Column("runs"),
        Column("attributed"),
        Column("spent"),
        Column("saved by sharing"),
    )
    costs = [(c.role + "s", c.runs, c.attributed_s, c.spent_s) for c in summary.costs()]
    total = ("in all", *(sum(part) for part in zip(*(c[1:] for c in costs), strict=True)))
    rows = [
        [
            Cell(str(role)),
            Cell(str(runs)),
            Cell(seconds(attributed)),
            Cell(seconds(spent)),
            Cell(f"{100 * (1 - spent / attributed):.0f} %" if attributed else NONE),
        ]
        for role, runs, attributed, spent in ([*costs, total] if costs else [])
    ]
    return Grid(columns, rows)


def runs_grid(summary: Summary) -> Grid:
    """Every run, whatever became of it."""
    columns = (
        Column("run", number=False),
        Column("status", number=False),
        Column("model", number=False),
        Column("teacher", number=False),
        Column("test error, %"),
        Column("validation error, %"),
        Column("train error, %"),
        Column("best epoch"),
        Column("test NLL"),
        Column("agreement, %"),
        Column("attributed, s"),
        Column("spent, s"),
        Column("id", number=False),
        Column("weights", number=False),
    )
    return Grid(columns, [_run(run) for run in summary.runs])


def _run(run: Row) -> list[Cell]:
    timing = run.get("timing") or {}
    best = run.get("best_epoch")
    return [
        Cell(run["key"]),
        Cell(run["status"], run.get("reason") or ""),
        Cell(run["model"]),
        Cell(run.get("teacher") or NONE),
        Cell(number(run.get("test_error"))),
        Cell(number(run.get("val_error"))),
        Cell(number(run.get("train_error"))),
        Cell(NONE if best is None else str(best)),
        Cell(number(run.get("test_nll"), 3)),
        Cell(number(run.get("train_agreement"))),
        Cell(number(timing.get("attributed_s"), 1)),
        Cell(number(timing.get("spent_s"), 1)),
        Cell((run.get("id") or NONE)[:_DIGEST]),
        Cell((run.get("digest") or NONE)[:_DIGEST]),
    ]


def setting(summary: Summary) -> list[str]:
    """The study in a line: data, design and how much of it is done."""
    named = dict(facts(summary))
    return [named["Data"], named["Design"], f"{named['Runs'].removesuffix(' done')} runs done"]


def facts(summary: Summary) -> list[tuple[str, str]]:
    """What the study rests on: data, design and amount of work, as names and texts."""
    data = summary.study["data"]
    counts = [f"{data[part]:,} {name}" for part, name in _SPLITS]
    height, width, channels = data["shape"]
    noise = data.get("label_noise") or 0
    replicates = {run["replicate"] for run in summary.runs}
    seeds = {run["seed"] for run in summary.runs if run["role"] == "student"}
    done = sum(run["status"] == "done" for run in summary.runs)
    source = (summary.study["config"].get("data") or {}).get("source", "data")
    return [
        ("Data", f"{source}, {height} × {width} × {channels}, {data['classes']} classes"),
        ("Images", ", ".join(counts)),
        ("Wrong labels", f"{100 * noise:g} % in training and validation" if noise else "none"),
        *_students(summary),
        ("Design", f"{plural(len(replicates), 'replicate')} × {plural(len(seeds), 'student')}"),
        ("Runs", f"{done} of {len(summary.runs)} done"),
    ]


def _students(summary: Summary) -> list[tuple[str, str]]:
    """The student networks with their sizes."""
    runs = (run for run in summary.runs if run["role"] == "student")
    found = dict.fromkeys((run["model"], run["parameters"], run["macs"]) for run in runs)
    texts = [
        f"{model}: {magnitude(size)} parameters, {magnitude(macs)} multiply-adds"
        for model, size, macs in found
    ]
    return [(f"{'Student' if len(texts) == 1 else 'Students'}", "; ".join(texts))] if texts else []


_SPLITS = (("train", "training"), ("validation", "validation"), ("test", "test"))


def unfinished(summary: Summary, most: int = 6) -> list[str]:
    """One sentence for each status other than done: how many runs, and which."""
    endings = {
        "diverged": "diverged, counted as chance error",
        "failed": "failed, left out",
        "pending": "not done yet, left out",
    }
    lines = []
    for status, keys in summary.unfinished().items():
        lines.append(
            f"{plural(len(keys), 'run')} {endings.get(status, status)}: {listing(keys, most)}."
        )
    return lines
