"""A results document as the figures that reports show.

The unit is the replicate: students inside one are averaged first, and every interval is a 95 % t
interval over replicate means (df = replicates - 1). A diverged student counts as chance error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tutelage.findings.intervals import estimate

_COUNTED = ("done", "diverged")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over replicates and its t interval; the bounds are None with one replicate."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half(self) -> float | None:
        """Half the interval's width."""
        return None if self.high is None else self.high - self.mean


def t_interval(values: Iterable[float]) -> Interval | None:
    """The mean of replicate values with the 95 % t interval of findings; None without values."""
    found = estimate(list(values))
    if found.effect is None:
        return None
    return Interval(found.effect, found.low, found.high, found.n)


def replicate_means(values: Mapping[tuple[int, int], float]) -> dict[int, float]:
    """The mean over the seeds of each replicate, from values by (replicate, seed)."""
    grouped: dict[int, list[float]] = {}
    for (replicate, _), value in sorted(values.items()):
        grouped.setdefault(replicate, []).append(value)
    return {replicate: float(np.mean(group)) for replicate, group in grouped.items()}


@dataclass(frozen=True)
class Teacher:
    """A teacher of the study, and its figures over replicates."""

    row: Row

    @property
    def name(self) -> str:
        """The name that conditions use."""
        return self.row["name"]

    @property
    def full(self) -> bool:
        """Whether it is one network, trained to the end, with its logits as they are."""
        return self._as_trained and not self.row.get("made_of")

    @property
    def combined(self) -> bool:
        """Whether it is several teachers or networks, not stopped or scaled as a whole."""
        return self._as_trained and bool(self.row.get("made_of"))

    @property
    def _as_trained(self) -> bool:
        return self.row["stop"] == "full" and not self.row.get("scaled")

    @property
    def family(self) -> tuple[str, str]:
        """What its stopped and scaled variants share: the network and who taught it."""
        return self.row["model"], self.row.get("taught_by") or ""

    @property
    def variant(self) -> str:
        """Its stop and scale in words."""
        scaled = self.row.get("scaled")
        return f"{self.kind}, {scaled}" if scaled else self.kind

    @property
    def kind(self) -> str:
        """Where its training ended, and what it is made of if it is several networks."""
        stop, made_of = self.row["stop"], self.row.get("made_of")
        if made_of is None:
            return stop
        if last := self.row.get("figures_of"):
            made_of += f" (figures of {last})"
        return made_of if stop == "full" else f"{stop}, {made_of}"

    @property
    def description(self) -> str:
        """Its network, stop, scale and teacher in words."""
        taught = self.row.get("taught_by")
        parts = [self.row["model"], self.variant, f"taught by {taught}" if taught else ""]
        return ", ".join(part for part in parts if part)

    def interval(self, metric: str) -> Interval | None:
        """A metric over the replicates; None where no replicate has it."""
        found = [replicate.get(metric) for replicate in self.row["replicates"]]
        return t_interval(value for value in found if value is not None)

    @property
    def stop_epochs(self) -> str:
        """The epoch it was stopped at, a range where replicates differ; empty where unknown."""
        epochs = [r["epoch"] for r in self.row["replicates"] if r.get("epoch") is not None]
        if not epochs:
            return ""
        low, high = min(epochs), max(epochs)
        return str(low) if low == high else f"{low} to {high}"

    @property
    def diverged(self) -> int:
        """How many of its replicates diverged."""
        return sum(replicate.get("status") == "diverged" for replicate in self.row["replicates"])

    @property
    def measured(self) -> int:
        """How many of its replicates have figures."""
        return len(self.row["replicates"]) - self.diverged


@dataclass(frozen=True)
class Condition:
    """A condition with its finished students."""

    row: Row
    teacher: Teacher | None
    runs: tuple[Row, ...]
    chance: float

    @property
    def name(self) -> str:
        """The condition's name, such as `kd/large`."""
        return self.row["name"]

    @property
    def diverged(self) -> int:
        """How many of its students diverged."""
        return sum(run["status"] == "diverged" for run in self.runs)

    @property
    def counts(self) -> str:
        """Replicates × students, such as `6 × 3` (or `6 × 2–3` where some are missing)."""
        return _counts(run["replicate"] for run in self.runs)

    def counts_of(self, metric: str, other: Condition | None = None) -> str:
        """`counts` of the students that have a metric, and the `other` condition has it too."""
        found = self.values(metric)
        shared = found.keys() & other.values(metric) if other else found
        return _counts(replicate for replicate, _ in shared)

    def values(self, metric: str, *, diverged: bool = True) -> dict[tuple[int, int], float]:
        """A metric by (replicate, seed); without the `diverged` students where that is False."""
        found: dict[tuple[int, int], float] = {}
        for run in self.runs:
            value = run.get(metric)
            if run["status"] == "diverged":
                value = self.chance if diverged and metric.endswith("_error") else None
            if value is not None:
                found[run["replicate"], run["seed"]] = value
        return found

    def means(self, metric: str, *, diverged: bool = True) -> dict[int, float]:
        """A metric's mean over the students of each replicate."""
        return replicate_means(self.values(metric, diverged=diverged))

    def interval(self, metric: str, *, diverged: bool = True) -> Interval | None:
        """A metric over replicate means."""
        return t_interval(self.means(metric, diverged=diverged).values())

    def minus(self, other: Condition, metric: str) -> Interval | None:
        """The difference of a metric, paired on the students that both conditions have."""
        return _paired(self.values(metric), other.values(metric))

    def curve_minus(self, other: Condition, metric: str) -> list[tuple[int, Interval]]:
        """`minus` at every epoch of the two histories."""
        mine, others = self._curves(metric), other._curves(metric)
        epochs = sorted(mine.keys() & others)
        pairs = ((epoch, _paired(mine[epoch], others[epoch])) for epoch in epochs)
        return [(epoch, interval) for epoch, interval in pairs if interval]

    def _curves(self, metric: str) -> dict[int, dict[tuple[int, int], float]]:
        """A metric by epoch; after a divergence it is chance."""
        curves: dict[int, dict[tuple[int, int], float]] = {}
        for run in self.runs:
            seen = {entry["epoch"]: entry.get(metric) for entry in run.get("history") or ()}
            epochs = range(1, self.row["epochs"] + 1) if run["status"] == "diverged" else seen
            for epoch in epochs:
                value = seen.get(epoch)
                if value is None and run["status"] == "diverged":
                    value = self.chance
                if value is not None:
                    curves.setdefault(epoch, {})[run["replicate"], run["seed"]] = value
        return curves


def _counts(replicates: Iterable[int]) -> str:
    sizes = sorted(Counter(replicates).values())
    if not sizes:
        return "0"
    students = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]}–{sizes[-1]}"
    return f"{len(sizes)} × {students}"


def _paired(
    mine: Mapping[tuple[int, int], float], others: Mapping[tuple[int, int], float]
) -> Interval | None:
    differences = {seeds: mine[seeds] - others[seeds] for seeds in mine if seeds in others}
    return t_interval(replicate_means(differences).values())


@dataclass(frozen=True)
class Cost:
    """Seconds of one role's runs: as if each were trained alone, and as really spent."""

    role: str
    runs: int
    attributed_s: float
    spent_s: float


class Summary:
    """A results document with its conditions, teachers and costs worked out."""

    def __init__(self, results: Row) -> None:
        self.results = results
        self.study: Row = results["study"]
        self.runs: list[Row] = list(results["runs"])
        self.findings: list[Row] = list(results.get("findings") or ())
        self.sentences: list[Row] = list(results.get("sentences") or ())
        self.paper: Mapping[str, Row] = results.get("paper") or {}
        self.mimicry: list[Row] = list(results.get("mimicry") or ())
        self.equal_compute: list[Row] = list(results.get("equal_compute") or ())
        self.teachers = [Teacher(row) for row in results.get("teachers") or ()]
        by_name = {teacher.name: teacher for teacher in self.teachers}
        self.conditions = [
            Condition(row, by_name.get(row["teacher"]), self._students(row["name"]), self.chance)
            for row in results["conditions"]
        ]

    @property
    def chance(self) -> float:
        """The error of guessing, in percent."""
        return 100 * (1 - 1 / self.study["data"]["classes"])

    def _students(self, condition: str) -> tuple[Row, ...]:
        return tuple(
            run
            for run in self.runs
            if run["condition"] == condition
            and run["role"] == "student"
            and run["status"] in _COUNTED
        )

    def scratch_for(self, condition: Condition) -> Condition | None:
        """The control without a teacher for the same student; None for a control itself.

        One on the same images is preferred, then one of the same length, then the one called
        `scratch`, then the first that is no cell of a search; one of
        another precision is none, because its difference would be part of the effect.
        """
        row = condition.row
        if row["teacher"] is None:
            return None
        images = [row.get("images")]
        return self.scratch(row["student"], row["epochs"], row.get("precision"), images)

    def scratch(
        self, student: str, epochs: int | None = None, precision: str | None = None,
        images: Sequence[str | None] = (),
    ) -> Condition | None:  # fmt: skip
        """The control without a teacher for a student; see `scratch_for`."""
        controls = [
            control
            for control in self.conditions
            if control.row["teacher"] is None
            and control.row["student"] == student
            and precision in (None, control.row.get("precision"))
            and control.runs
        ]
        return min(
            controls,
            key=lambda c: (
                bool(images) and c.row.get("images") not in images,
                epochs is not None and c.row["epochs"] != epochs,
                c.name != "scratch",
                bool(c.row.get("searched")),
            ),
            default=None,
        )

    def minus_scratch(self, condition: Condition, metric: str = "test_error") -> Interval | None:
        """The paired difference of a distilled condition to its control."""
        control = self.scratch_for(condition)
        return condition.minus(control, metric) if control else None

    def unfinished(self) -> dict[str, list[str]]:
        """The keys of runs that are not done, by status."""
        found: dict[str, list[str]] = {}
        for run in self.runs:
            if run["status"] != "done":
                found.setdefault(run["status"], []).append(run["key"])
        return dict(sorted(found.items()))

    def costs(self) -> list[Cost]:
        """Seconds by role, teachers first."""
        roles = sorted({run["role"] for run in self.runs}, key=lambda role: role != "teacher")
        return [self._cost(role) for role in roles]

    def _cost(self, role: str) -> Cost:
        timings = [run.get("timing") or {} for run in self.runs if run["role"] == role]
        attributed = sum(timing.get("attributed_s") or 0.0 for timing in timings)
        spent = sum(timing.get("spent_s") or 0.0 for timing in timings)
        return Cost(role, sum(map(bool, timings)), attributed, spent)
