"""Is distillation worth it at equal compute? The best student that labels alone give for as much.

The control is searched for: over lengths and settings, within the budget, the cell of least error
on *validation* in each replicate is taken, and its test error compared. So the choice is as free as
that of anybody who spends the compute on the student instead, and never looks at the test images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tutelage.findings.budgets import (
    ACCOUNTS,
    Account,
    affordable,
    budget,
    cells_of,
    in_words,
    plain,
    reach,
    searched,
)
from tutelage.findings.intervals import Estimate, estimate
from tutelage.findings.match import Match, match
from tutelage.findings.pairing import Diverged, Results, Sample, differences
from tutelage.findings.wording import comparison, decimals, evidence


def equal_compute(results: Results) -> list[dict[str, Any]]:
    """For each distilled condition of a student that a search has cells of: {"sentence", "verdict",
    "text", "accounts", "lengths", "match"}; none where the study has no search.

    A row of "accounts" and of "lengths" has the "budget" in plain trainings, how many replicates
    chose which of the "cells", and the "effect" on test error, distilled minus control, with its
    95 % interval; "match" is `Match` as plain values.
    """
    return [_told(results, condition, group) for condition, group in searched(results)]


def within(results: Results, first: str, group: str, most: float) -> tuple[Results, dict[int, str]]:
    """The results with the runs of `first` and, under the name `group`, those of the cell of least
    mean validation error among those that cost at most `most` in each replicate; and which cells
    these are. A replicate in which a run of one of these cells is not done has none.
    """
    cells = [c["name"] for c in affordable(results, group, most)]
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
        f"{first} ({in_words(results, account)}; {reach(results, group, most)})"
    )


def _told(results: Results, condition: Mapping[str, Any], group: str) -> dict[str, Any]:
    name, unit = condition["name"], plain(results, group)
    accounts, said = [], []
    for account in ACCOUNTS:
        most = budget(results, name, account)
        figures = _compared(results, name, group, most)
        accounts.append({"account": account, "budget": most / unit, **figures})
        words = f"{in_words(results, account)} ({most / unit:.1f}x)"
        said.append(f"With {words}, {_difference(results, figures, name, group, most)}")
    if not condition["compute"]["teacher"]:  # weights from outside: all accounts are one
        said = said[:1]
    lengths = [
        {"budget": most / unit, **_compared(results, name, group, most)}
        for most in sorted({cell["compute"]["own"] for cell in cells_of(results, group)})
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
    if not affordable(results, group, most):
        return f"no cell of {group} costs as little"
    if figures["effect"] is None:
        return f"no replicate has both {first} and all cells of {group} within that"
    found = Estimate(figures["n"], 0.95, figures["effect"], figures["low"], figures["high"])
    places = decimals(found, "test_error")
    text = comparison(first, f"the best of {group}", "test_error", figures["effect"], places)
    sample = Sample[float]({}, figures["replicates"], 0, 0)
    cells = ", ".join(f"{cell} in {count}" for cell, count in figures["cells"].items())
    return f"{text} ({evidence(found, sample, places)}; {cells})"
