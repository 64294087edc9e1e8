"""The table of docs/sequential.md is what the code does, measured again on simulated studies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tutelage.findings.looks import Looks, declared, look_error
from tutelage.findings.verdicts import difference

PAGE = Path(__file__).parents[2] / "docs" / "sequential.md"
STUDIES, FIRST, MOST, EFFECT = 20_000, 6, 24, 0.6  # the effect in standard deviations; the margin

# Each rule as its plans, one after the other: each with the numbers of replicates it looks at.
RULES: dict[str, list[tuple[list[int], Looks | None]]] = {
    "one look, after 24": [([MOST], None)],
    "four declared looks (the default)": [(declared(FIRST, MOST), declared(FIRST, MOST))],
    "eight declared looks": [(declared(FIRST, MOST, 8), declared(FIRST, MOST, 8))],
    "open looks": [(list(range(FIRST, MOST + 1)), "open")],
    "open looks, at most 48": [(list(range(FIRST, 49)), "open")],
    "a 95 % t interval after each replicate": [(list(range(FIRST, MOST + 1)), None)],
    "a 95 % t interval after 6, then four looks": [
        ([FIRST], None), (declared(FIRST, MOST), declared(FIRST, MOST)),
    ],
    "four looks to 12, then four to 24": [
        (declared(FIRST, 12), declared(FIRST, 12)), (declared(FIRST, MOST), declared(FIRST, MOST)),
    ],
}  # fmt: skip


def most(rule: str) -> int:
    return max(n for numbers, _ in RULES[rule] for n in numbers)


def studies(rule: str, kind: str, effect: float = 0.0) -> np.ndarray:
    """Replicate values [studies, replicates] of spread 1."""
    rng, shape = np.random.default_rng(11), (STUDIES, most(rule))
    if kind == "normal":
        return rng.normal(effect, 1.0, shape)
    return rng.standard_t(5, shape) / math.sqrt(5 / 3) + effect


def intervals(rule: str, values: np.ndarray) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """The interval [low, high] of all studies at each look of a rule."""
    for numbers, looks in RULES[rule]:
        for n in numbers:
            error = 0.025 if looks is None else look_error(0.025, n, looks)
            if error > 0.0:
                part = values[:, :n]
                half = stats.t.isf(error, n - 1) * part.std(1, ddof=1) / math.sqrt(n)
                yield n, (part.mean(1) - half, part.mean(1) + half)


def false(rule: str, kind: str) -> float:
    """Studies without an effect that find one at any look, in percent."""
    ever = np.zeros(STUDIES, dtype=bool)
    for _, (low, high) in intervals(rule, studies(rule, kind)):
        ever |= (low > 0.0) | (high < 0.0)
    return 100.0 * float(ever.mean())


def ended(rule: str, effect: float) -> tuple[float, float]:
    """Studies in which a difference of margin EFFECT is supported, in percent, and the mean number
    of replicates at which it is decided or given up."""
    last = np.full(STUDIES, most(rule))
    open_, supported = np.ones(STUDIES, dtype=bool), np.zeros(STUDIES, dtype=bool)
    for n, (low, high) in intervals(rule, studies(rule, "normal", effect)):
        pairs = zip(low, high, strict=True)
        verdicts = np.array([difference(a, b, "greater", EFFECT) for a, b in pairs])
        supported |= open_ & (verdicts == "supported")
        last = np.where(open_ & (verdicts != "undecided"), n, last)
        open_ &= verdicts == "undecided"
    return 100.0 * float(supported.mean()), float(last.mean())


def measured(rule: str) -> list[float]:
    """A row: false findings of normal and of heavy-tailed values, support where the effect is the
    margin, replicates there, and replicates without an effect."""
    found, there = ended(rule, EFFECT)
    return [false(rule, "normal"), false(rule, "heavy"), found, there, ended(rule, 0.0)[1]]


def line(rule: str) -> str:
    return "| " + " | ".join([rule, *(f"{figure:.1f}" for figure in measured(rule))]) + " |"


@pytest.mark.parametrize("rule", RULES)
def test_a_row_is_what_is_measured(rule) -> None:
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith(f"| {rule} |")]
    assert len(rows) == 1
    shown = [float(cell) for cell in rows[0].split("|")[2:-1]]
    # The draws are the same, so more than rounding is a change of the method.
    assert shown == pytest.approx(measured(rule), abs=0.051)


def test_what_is_offered_keeps_5_percent_and_what_is_warned_of_does_not() -> None:
    for rule in ("four declared looks (the default)", "eight declared looks", "open looks"):
        assert max(false(rule, "normal"), false(rule, "heavy")) <= 6.0
    assert false("a 95 % t interval after each replicate", "normal") >= 14.0
    assert false("a 95 % t interval after 6, then four looks", "normal") >= 8.0


def test_looks_end_sooner_and_lose_little() -> None:
    found, once = ended("one look, after 24", EFFECT)
    for rule, least in (("four declared looks (the default)", 3.0), ("eight declared looks", 4.0)):
        looked, sooner = ended(rule, EFFECT)
        assert looked >= found - least
        assert sooner <= once - 3.0


if __name__ == "__main__":
    print("\n".join(map(line, RULES)))
