"""Is distillation worth it at equal compute? The best student that labels alone give for as much.

The control is searched for: over lengths and settings, within the budget, the cell of least error
on *validation* in each replicate is taken, and its test error compared. So the choice is as free as
that of anybody who spends the compute on the student instead, and never looks at the test images.

A budget is counted three ways: the teacher for *free* (it was there), its training *shared* by the
students of a replicate, or *fully* charged to each. The unit is one plain training of the student.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from tutelage.findings.intervals import Estimate, estimate
from tutelage.findings.pairing import Results, Sample, differences
from tutelage.findings.wording import amount, comparison, decimals, evidence

Account = Literal["free", "shared", "full"]
ACCOUNTS: tuple[Account, ...] = ("free", "shared", "full")
_SLACK = 1 + 1e-9
ACCOUNTS_IN_WORDS = {
    "free": "the teacher for free",
    "shared": "the teacher shared by the replicate's students",
    "full": "the teacher fully charged",
}


def equal_compute(results: Results) -> list[dict[str, Any]]:
    """For each distilled condition of a student that a search has cells of: {"sentence", "verdict",
    "text", "accounts", "lengths"}; none where the study has no search."""
    found = []
    for group in _searches(results):
        model = _cells(results, group)[0]["student"]
        found += [
            _told(results, condition, group)
            for condition in results["conditions"]
            if condition["teacher"] is not None and condition["student"] == model
        ]
    return found


def budget(results: Results, condition: str, account: Account) -> float:
    """What a condition spends by an account, in multiply-adds."""
    spent = _entry(results, condition)["compute"]
    students = results["study"]["config"].get("replicates", {}).get("students", 1)
    share = {"free": 0.0, "shared": 1.0 / students, "full": 1.0}[account]
    return spent["own"] + share * spent["teacher"]


def within(results: Results, first: str, group: str, most: float) -> tuple[Results, dict[int, str]]:
    """The results with the runs of `first` and, under the name `group`, those of the cell of least
    mean validation error among those that cost at most `most` in each replicate; and which cells
    these are. A replicate in which a run of one of these cells is not done has none.
    """
    cells = [c["name"] for c in _cells(results, group) if c["compute"]["own"] <= most * _SLACK]
    errors: dict[tuple[int, str], list[float | None]] = {}
    for row in results["runs"]:
        if row["role"] == "student" and row["condition"] in cells:
            done = row["status"] == "done"
            value = row["val_error"] if done else None if row["status"] != "diverged" else 100.0
            errors.setdefault((row["replicate"], row["condition"]), []).append(value)
    chosen: dict[int, str] = {}
    for replicate in sorted({replicate for replicate, _ in errors}):
        table = {cell: errors.get((replicate, cell), [None]) for cell in cells}
        means = {
            cell: sum(each for each in values if each is not None) / len(values)
            for cell, values in table.items()
            if None not in values
        }
        if means and len(means) == len(cells):
            chosen[replicate] = min(means, key=lambda cell: means[cell])
    runs = [
        row if row["condition"] == first else {**row, "condition": group}
        for row in results["runs"]
        if row["role"] == "student" and row["condition"] in (first, chosen.get(row["replicate"]))
    ]
    return {**results, "runs": runs}, chosen


def against_tuned(results: Results, first: str, group: str, account: Account) -> Sample[float]:
    """The paired difference in test error, `first` minus the best control within its budget."""
    narrowed, _ = within(results, first, group, budget(results, first, account))
    return differences(narrowed, "test_error", first, group)


def _told(results: Results, condition: Mapping[str, Any], group: str) -> dict[str, Any]:
    name = condition["name"]
    unit = min(cell["compute"]["own"] for cell in _cells(results, group))
    accounts, said = [], []
    for account in ACCOUNTS:
        most = budget(results, name, account)
        figures = _compared(results, name, group, most)
        accounts.append({"account": account, "budget": most / unit, **figures})
        words = f"{ACCOUNTS_IN_WORDS[account]} ({most / unit:.1f}x)"
        said.append(f"With {words}, {_difference(figures, name, group)}")
    lengths = [
        {"budget": most / unit, **_compared(results, name, group, most)}
        for most in sorted({cell["compute"]["own"] for cell in _cells(results, group)})
    ]
    said.append(_match(lengths, name))
    return {
        "sentence": name,
        "verdict": "none",
        "text": ". ".join(said) + ".",
        "accounts": accounts,
        "lengths": lengths,
    }


def _compared(results: Results, first: str, group: str, most: float) -> dict[str, Any]:
    narrowed, chosen = within(results, first, group, most)
    sample = differences(narrowed, "test_error", first, group)
    found = estimate(list(sample.values.values()))
    return {
        "cells": dict(Counter(chosen[r] for r in sample.values)),
        "effect": found.effect, "low": found.low, "high": found.high, "n": found.n,
        "replicates": sample.replicates,
    }  # fmt: skip


def _difference(figures: Mapping[str, Any], first: str, group: str) -> str:
    if figures["effect"] is None:
        return f"no replicate has both {first} and all cells of {group}"
    found = Estimate(figures["n"], 0.95, figures["effect"], figures["low"], figures["high"])
    places = decimals(found, "test_error")
    text = comparison(first, f"the best of {group}", "test_error", figures["effect"], places)
    sample = Sample[float]({}, figures["replicates"], 0, 0)
    cells = ", ".join(f"{cell} in {count}" for cell, count in figures["cells"].items())
    return f"{text} ({evidence(found, sample, places)}; {cells})"


def _match(lengths: list[dict[str, Any]], name: str) -> str:
    """Which multiple of a plain training does without the teacher what it does with one."""
    known = [each for each in lengths if each["effect"] is not None]
    if not known:
        return f"What it takes to match {name} is not known yet"
    reached = next((i for i, each in enumerate(known) if each["effect"] >= 0.0), None)
    if reached is None:
        gap = amount(f"{-known[-1]['effect']:.1f}", "points")
        return (
            f"Labels alone do not match {name} within {known[-1]['budget']:.1f}x: "
            f"{gap} are left there"
        )
    low = f"{known[reached - 1]['budget']:.1f}x and " if reached else ""
    way = "between " if reached else "no more than "
    text = f"To match {name} without a teacher takes {way}{low}{known[reached]['budget']:.1f}x"
    sure = next((e for e in known if e["low"] is not None and e["low"] >= 0.0), None)
    return f"{text}; beyond doubt (95 %) {sure['budget']:.1f}x" if sure else text


def _searches(results: Results) -> list[str]:
    return list(dict.fromkeys(c["group"] for c in results["conditions"] if c.get("searched")))


def _cells(results: Results, group: str) -> list[Mapping[str, Any]]:
    return [c for c in results["conditions"] if c.get("searched") and c["group"] == group]


def _entry(results: Results, condition: str) -> Mapping[str, Any]:
    return next(c for c in results["conditions"] if c["name"] == condition)
