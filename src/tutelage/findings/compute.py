"""Is distillation worth it at equal compute? The best student that labels alone give for as much.

The control is searched for: over lengths and settings, within the budget, the cell of least error
on *validation* in each replicate is taken, and its test error compared. So the choice is as free as
that of anybody who spends the compute on the student instead, and never looks at the test images.

A budget is counted three ways: the teacher for *free* (it was there), its training *shared* by the
students of a replicate (or by a number of them), or *fully* charged to each. Multiples are of one
plain training of the student: 1x is what the search's cell of length 1 costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from tutelage.config.schema_claims import SharedBy
from tutelage.findings.intervals import Estimate, estimate
from tutelage.findings.match import Match, match
from tutelage.findings.pairing import Diverged, Results, Sample, differences
from tutelage.findings.wording import comparison, counted, decimals, evidence

Account = Literal["free", "shared", "full"] | SharedBy
ACCOUNTS: tuple[Literal["free", "shared", "full"], ...] = ("free", "shared", "full")
_SLACK = 1 + 1e-9


def equal_compute(results: Results) -> list[dict[str, Any]]:
    """For each distilled condition of a student that a search has cells of: {"sentence", "verdict",
    "text", "accounts", "lengths", "match"}; none where the study has no search.

    A row of "accounts" and of "lengths" has the "budget" in plain trainings, how many replicates
    chose which of the "cells", and the "effect" on test error, distilled minus control, with its
    95 % interval; "match" is `Match` as plain values.
    """
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
    sharers = _sharers(results, account)
    return spent["own"] + (spent["teacher"] / sharers if sharers else 0.0)


def plain(results: Results, group: str) -> float:
    """What 1x is, in multiply-adds: the training that a search makes longer."""
    longest = max(_cells(results, group), key=lambda cell: cell["searched"])  # least rounded
    return longest["compute"]["own"] / longest["searched"]


def within(results: Results, first: str, group: str, most: float) -> tuple[Results, dict[int, str]]:
    """The results with the runs of `first` and, under the name `group`, those of the cell of least
    mean validation error among those that cost at most `most` in each replicate; and which cells
    these are. A replicate in which a run of one of these cells is not done has none.
    """
    cells = [c["name"] for c in _affordable(results, group, most)]
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


def against_tuned(
    results: Results, first: str, group: str, account: Account, diverged: Diverged = "chance"
) -> Sample[float]:
    """The paired difference in test error, `first` minus the best control within its budget.

    In the choice, a diverged run is one that nobody would take: all of its validation is wrong.
    """
    narrowed, _ = within(results, first, group, budget(results, first, account))
    return differences(narrowed, "test_error", first, group, diverged)


def rival(results: Results, first: str, group: str, account: Account) -> str:
    """What a claim compares with: "the best cell of tuned on validation that costs no more than the
    5.5x of kd (the teacher fully charged; the search reaches 4x of it)"."""
    most, unit = budget(results, first, account), plain(results, group)
    return (
        f"the best cell of {group} on validation that costs no more than the {most / unit:.1f}x of "
        f"{first} ({_in_words(results, account)}; {_reach(results, group, most)})"
    )


def _reach(results: Results, group: str, most: float) -> str:
    """How much of a budget the search makes use of."""
    affordable = _affordable(results, group, most)
    if not affordable:
        return f"no cell of {group} costs as little"
    largest = max(cell["compute"]["own"] for cell in affordable)
    return f"its cells within that cost up to {largest / plain(results, group):.1f}x"


def _sharers(results: Results, account: Account) -> float:
    """How many students a teacher's training is divided by; 0 where it is not counted."""
    if isinstance(account, SharedBy):
        return account.shared
    students = results["study"]["config"].get("replicates", {}).get("students", 3)
    return {"free": 0, "shared": students, "full": 1}[account]


def _in_words(results: Results, account: Account) -> str:
    if account == "free":
        return "the teacher for free"
    if account == "full":
        return "the teacher fully charged"
    sharers = int(_sharers(results, account))
    return f"the teacher shared by {counted(sharers, 'student', 'students')}"


def _told(results: Results, condition: Mapping[str, Any], group: str) -> dict[str, Any]:
    name, unit = condition["name"], plain(results, group)
    accounts, said = [], []
    for account in ACCOUNTS:
        most = budget(results, name, account)
        figures = _compared(results, name, group, most)
        accounts.append({"account": account, "budget": most / unit, **figures})
        words = f"{_in_words(results, account)} ({most / unit:.1f}x)"
        said.append(f"With {words}, {_difference(results, figures, name, group, most)}")
    if not condition["compute"]["teacher"]:  # weights from outside: all accounts are one
        said = said[:1]
    lengths = [
        {"budget": most / unit, **_compared(results, name, group, most)}
        for most in sorted({cell["compute"]["own"] for cell in _cells(results, group)})
    ]
    matched = match(lengths)
    said.append(matched.in_words(name) if matched else f"What matches {name} is not known yet")
    return {
        "sentence": name,
        "verdict": "none",
        "text": ". ".join(said) + ".",
        "accounts": accounts,
        "lengths": lengths,
        "match": matched.to_dict() if isinstance(matched, Match) else None,
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


def _difference(
    results: Results, figures: Mapping[str, Any], first: str, group: str, most: float
) -> str:
    if not _affordable(results, group, most):
        return f"no cell of {group} costs as little"
    if figures["effect"] is None:
        return f"no replicate has both {first} and all cells of {group} within that"
    found = Estimate(figures["n"], 0.95, figures["effect"], figures["low"], figures["high"])
    places = decimals(found, "test_error")
    text = comparison(first, f"the best of {group}", "test_error", figures["effect"], places)
    sample = Sample[float]({}, figures["replicates"], 0, 0)
    cells = ", ".join(f"{cell} in {count}" for cell, count in figures["cells"].items())
    return f"{text} ({evidence(found, sample, places)}; {cells})"


def _searches(results: Results) -> list[str]:
    return list(dict.fromkeys(c["group"] for c in results["conditions"] if c.get("searched")))


def _cells(results: Results, group: str) -> list[Mapping[str, Any]]:
    return [c for c in results["conditions"] if c.get("searched") and c["group"] == group]


def _affordable(results: Results, group: str, most: float) -> list[Mapping[str, Any]]:
    return [c for c in _cells(results, group) if c["compute"]["own"] <= most * _SLACK]


def _entry(results: Results, condition: str) -> Mapping[str, Any]:
    return next(c for c in results["conditions"] if c["name"] == condition)
