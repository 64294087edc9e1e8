"""Which comparisons of a stopped teacher with a fully trained one a study holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tutelage.findings.pairing import Results, is_full, teacher_errors

Entry = Mapping[str, Any]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Stop:
    """A stopped teacher and the same network fully trained: entries of the results document.

    `error` and `full_error` are their own validation errors in percent, means over the replicates
    that have both.
    """

    stopped: Entry
    full: Entry
    error: float
    full_error: float

    @property
    def is_more_accurate(self) -> bool:
        """Whether stopping lowered the teacher's own validation error."""
        return self.error < self.full_error


@dataclass(frozen=True)
class StopComparison:
    """Conditions (stopped, full) that differ in the teacher alone: entropy-matched, and raw."""

    stop: Stop
    matched: Pair | None
    raw: Pair | None


def stops(results: Results) -> list[Stop]:
    """Every stopped teacher, logits untouched and taught by labels alone, that has a full one."""
    found = []
    for stopped in results["teachers"]:
        full = _full_of(results, stopped)
        if full is None:
            continue
        mine, theirs = (teacher_errors(entry, "val_error") for entry in (stopped, full))
        shared = [replicate for replicate in mine if replicate in theirs]
        if shared:
            means = (float(np.mean([errors[r] for r in shared])) for errors in (mine, theirs))
            found.append(Stop(stopped, full, *means))
    return found


def comparisons(results: Results, stop: Stop) -> Iterator[StopComparison]:
    """The comparisons of one stop, one for each set-up of the students, in the study's order."""
    setups: dict[str, dict[str, str]] = {}
    for condition in results["conditions"]:
        by_teacher = setups.setdefault(_setup(results, condition), {})
        by_teacher.setdefault(condition["teacher"], condition["name"])
    stopped, full = stop.stopped, stop.full
    softened = [(entry["name"], full["name"]) for entry in _matched(results, stopped, full)]
    sharpened = [(stopped["name"], entry["name"]) for entry in _matched(results, full, stopped)]
    for by_teacher in setups.values():
        matched = _first_pair(by_teacher, softened + sharpened)
        raw = _first_pair(by_teacher, [(stopped["name"], full["name"])])
        if matched or raw:
            yield StopComparison(stop, matched, raw)


def _full_of(results: Results, stopped: Entry) -> Entry | None:
    """The same network with the same recipe on the same images, trained to the end."""
    several = stopped.get("made_of")
    if stopped["stop"] == "full" or stopped["scaled"] or stopped["taught_by"] or several:
        return None
    recipe = _teacher_recipe(results, stopped["name"])
    for entry in results["teachers"]:
        same = entry["model"] == stopped["model"]
        if same and is_full(entry) and _teacher_recipe(results, entry["name"]) == recipe:
            return entry
    return None


def _matched(results: Results, entry: Entry, target: Entry) -> list[Entry]:
    """The teachers that are `entry` with its logits scaled to the entropy of `target`."""
    alike = ("model", "stop", "taught_by", "made_of")
    return [
        other
        for other in results["teachers"]
        if all(other.get(key) == entry.get(key) for key in alike)
        and (other["scaled"] or "").startswith(f"entropy of {target['name']} ")
    ]


def _first_pair(by_teacher: Mapping[str, str], teachers: list[Pair]) -> Pair | None:
    for first, second in teachers:
        if first in by_teacher and second in by_teacher:
            return by_teacher[first], by_teacher[second]
    return None


def _setup(results: Results, condition: Entry) -> str:
    """All that the document says of a condition but its teacher and what that costs, to tell which
    are alike."""
    of_teacher = ("name", "group", "teacher", "compute")
    rest = {key: condition[key] for key in condition if key not in of_teacher}
    return json.dumps([rest, _condition_recipes(results, condition["group"])], sort_keys=True)


def _condition_recipes(results: Results, group: str | None) -> list[Any]:
    """The recipes that the study's own text gives a group of conditions, inherited ones last."""
    configs = results["study"]["config"].get("conditions", {})
    recipes = []
    while group in configs:
        recipes.append(configs[group].get("recipe"))
        group = configs[group].get("extends")
    return [recipe for recipe in recipes if recipe]


def _teacher_recipe(results: Results, name: str) -> Any:
    configs = results["study"]["config"].get("teachers", {})
    config = configs.get(name, {})
    while config.get("of"):
        config = configs.get(config["of"], {})
    return config.get("recipe"), config.get("images")
