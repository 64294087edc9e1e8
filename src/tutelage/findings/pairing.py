"""From the rows of a study to one value per replicate: student seeds are paired, then averaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np

Results = Mapping[str, Any]
Diverged = Literal["chance", "dropped"]
Over = Literal["teacher_parameters", "teacher_error"]
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Sample(Generic[T]):
    """What each replicate came to, and what had to be left out or filled in.

    `values` maps replicates, ascending, to a difference or a slope (or, from `replicate_means`, to
    the means of all conditions). `replicates` counts those that the study means to have. `missing`
    counts the student seeds, over all replicates, that could not be used because a run of one of
    the compared conditions is not done, or has no such figure; `diverged` counts the compared runs
    that diverged.
    """

    values: dict[int, T]
    replicates: int
    missing: int
    diverged: int

    def mapped(self, change: Callable[[T], U]) -> Sample[U]:
        """The same with each replicate's value changed."""
        values = {replicate: change(value) for replicate, value in self.values.items()}
        return Sample(values, self.replicates, self.missing, self.diverged)

    def reduced(self, reduce: Callable[[int, T], float | None]) -> Sample[float]:
        """One number for each replicate; a replicate for which `reduce` has none is left out."""
        values = {r: v for r, value in self.values.items() if (v := reduce(r, value)) is not None}
        return Sample(values, self.replicates, self.missing, self.diverged)


def chance_error(metric: str, classes: int) -> float | None:
    """What guessing scores, in percent: 100 (1 - 1/C) for errors, 100 (1 - 5/C) for top-5 errors.

    None for every other metric: guessing has no agreement or divergence of its own.
    """
    if metric.endswith("_error"):
        return 100.0 * (1.0 - 1.0 / classes)
    if metric.endswith("_top5"):
        return 100.0 * (1.0 - min(5, classes) / classes)
    return None


def replicate_means(
    results: Results, metric: str, conditions: Sequence[str], diverged: Diverged = "chance"
) -> Sample[np.ndarray]:
    """The mean of `metric` in each of `conditions`, for every replicate in which all have one.

    The mean is over the student seeds that every one of the conditions has, so that conditions are
    compared on equal seeds. A diverged run counts as chance error, or is dropped; where guessing
    has no value for the metric, it is dropped. Failed and pending runs, and runs without the
    metric, are missing. Raises ValueError when two rows are the same run.
    """
    return seed_tables(results, metric, conditions, diverged).mapped(
        lambda table: table.mean(axis=0)
    )


def seed_tables(
    results: Results, metric: str, conditions: Sequence[str], diverged: Diverged = "chance"
) -> Sample[np.ndarray]:
    """What `replicate_means` averages: for every replicate the values [seeds, conditions], in the
    order of the seeds that every one of the conditions has."""
    filled = chance_error(metric, results["study"]["data"]["classes"])
    filled = filled if diverged == "chance" else None
    cells: dict[tuple[int, int], dict[str, float | None]] = {}
    lost: list[tuple[int, int]] = []
    for row in results["runs"]:
        if row["role"] != "student" or row["condition"] not in conditions:
            continue
        place = (row["replicate"], row["seed"])
        cell = cells.setdefault(place, {})
        if row["condition"] in cell:
            raise ValueError(f"two rows for one run: {row['key']}")
        if row["status"] == "diverged":
            lost.append(place)
            cell[row["condition"]] = filled
        else:
            cell[row["condition"]] = _value(row, metric)
    columns: dict[int, list[list[float]]] = {}
    missing = 0
    for place in sorted(cells):
        column = [v for name in conditions if (v := cells[place].get(name)) is not None]
        if len(column) == len(conditions):
            columns.setdefault(place[0], []).append(column)
        else:
            missing += place not in lost
    tables = {replicate: np.array(column) for replicate, column in columns.items()}
    return Sample(tables, len({replicate for replicate, _ in cells}), missing, len(lost))


def differences(
    results: Results, metric: str, first: str, second: str, diverged: Diverged = "chance"
) -> Sample[float]:
    """The mean paired difference, `first` minus `second`, of every replicate."""
    means = replicate_means(results, metric, [first, second], diverged)
    return means.reduced(lambda _, mean: float(mean[0] - mean[1]))


def interactions(
    results: Results,
    metric: str,
    pair: tuple[str, str],
    minus: Sequence[str],
    diverged: Diverged = "chance",
) -> Sample[float]:
    """The paired difference within `pair` minus that within `minus`, of every replicate."""
    means = replicate_means(results, metric, [*dict.fromkeys((*pair, *minus))], diverged)
    places = {name: i for i, name in enumerate(dict.fromkeys((*pair, *minus)))}

    def contrast(_: int, mean: np.ndarray) -> float:
        a, b, c, d = (float(mean[places[name]]) for name in (*pair, *minus))
        return (a - b) - (c - d)

    return means.reduced(contrast)


def of_teachers(results: Results, metric: str, first: str, second: str) -> Sample[float]:
    """The difference between two teachers' own figures, in every replicate that has both."""
    entries = [teacher_named(results, name) for name in (first, second)]
    mine, theirs = (teacher_errors(entry, metric) if entry else {} for entry in entries)
    values = {r: mine[r] - theirs[r] for r in sorted(mine.keys() & theirs.keys())}
    replicates = len({row["replicate"] for row in results["runs"]})
    return Sample(values, replicates, 0, 0)


def slopes(
    results: Results,
    metric: str,
    conditions: Sequence[str],
    over: Over,
    diverged: Diverged = "chance",
) -> Sample[float]:
    """The least-squares slope of the conditions' means on a property of their teachers, for each
    replicate: per doubling of parameters, or per point of the teacher's own test error there.

    A replicate in which fewer than two conditions differ in the property, or one of the teachers
    has no error, has no slope.
    """

    def slope(replicate: int, y: np.ndarray) -> float | None:
        return _slope([teacher_value(results, name, over, replicate) for name in conditions], y)

    return replicate_means(results, metric, conditions, diverged).reduced(slope)


def family(results: Results, within: str | Sequence[str]) -> list[str]:
    """The conditions of a trend, in the study's order.

    A list names them; a group stands for its conditions whose teacher is trained to the end, by
    labels alone, with its logits as they are. Conditions without a teacher are left out.
    """
    names = []
    for condition in results["conditions"]:
        teacher = teacher_named(results, condition["teacher"])
        wanted = (
            condition["group"] == within and teacher is not None and is_full(teacher)
            if isinstance(within, str)
            else condition["name"] in within
        )
        if wanted and teacher is not None:
            names.append(condition["name"])
    return names


def ordered(results: Results, of: str | Sequence[str], over: Over | Literal["listed"]) -> list[str]:
    """The conditions of a family in their order: as listed, those of a group as in the study, or by
    a property of their teachers (those of which it is not known yet come last)."""
    known = [c["name"] for c in results["conditions"] if isinstance(of, str) and c["group"] == of]
    names = known if isinstance(of, str) else list(of)
    places = order(results, names, over)
    return [names[i] for i in sorted(range(len(names)), key=lambda i: places[i])]


def order(
    results: Results, names: Sequence[str], over: Over | Literal["listed"]
) -> tuple[float, ...]:
    """The place of each condition in the order: its position, or what its teacher is (the mean over
    replicates of the teacher's test error; infinity where that is not known yet)."""
    if over == "listed":
        return tuple(map(float, range(len(names))))
    return tuple(_teacher_mean(results, name, over) for name in names)


def _teacher_mean(results: Results, condition: str, over: Over) -> float:
    replicates = {row["replicate"] for row in results["runs"]}
    found = [teacher_value(results, condition, over, r) for r in sorted(replicates)]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else math.inf


def is_full(teacher: Mapping[str, Any]) -> bool:
    """One network, trained to the end of its schedule, by labels alone, logits untouched."""
    untouched = teacher["scaled"] is None and teacher.get("made_of") is None
    return teacher["stop"] == "full" and teacher["taught_by"] is None and untouched


def teachers_vary(results: Results) -> bool:
    """Whether replicates have different teachers: other seeds, other images, or other labels."""
    vary = results["study"]["config"].get("replicates", {}).get("vary", ["teacher"])
    noisy = "noise" in vary and results["study"]["data"]["label_noise"] > 0.0
    return noisy or "teacher" in vary or "split" in vary


def teacher_named(results: Results, name: str | None) -> Mapping[str, Any] | None:
    """The teacher's entry in the results document, None when there is none of that name."""
    return next((t for t in results["teachers"] if t["name"] == name), None)


def teacher_errors(teacher: Mapping[str, Any], metric: str) -> dict[int, float]:
    """The teacher's own `metric` (such as "val_error"), in percent, for each replicate with one."""
    rows = sorted(teacher["replicates"], key=lambda row: row["replicate"])
    return {row["replicate"]: v for row in rows if (v := _value(row, metric)) is not None}


def teacher_value(results: Results, condition: str, over: Over, replicate: int) -> float | None:
    """log2 of the parameters, or the test error in `replicate`, of a condition's teacher."""
    entry = next(c for c in results["conditions"] if c["name"] == condition)
    teacher = teacher_named(results, entry["teacher"])
    if teacher is None:
        return None
    if over == "teacher_parameters":
        return math.log2(teacher["parameters"])
    return teacher_errors(teacher, "test_error").get(replicate)


def _value(row: Mapping[str, Any], metric: str) -> float | None:
    value = row.get(metric)
    if row.get("status", "done") != "done" or value is None or not math.isfinite(value):
        return None
    return float(value)


def _slope(x: Sequence[float | None], y: np.ndarray) -> float | None:
    known = [value for value in x if value is not None]
    if len(known) < len(x) or len(set(known)) < 2:
        return None
    centred = np.asarray(known) - np.mean(known)
    return float(centred @ y) / float(centred @ centred)
