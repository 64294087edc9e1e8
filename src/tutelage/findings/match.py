"""Compute to match: how long the student has to train on labels alone to be as good as distilled.

At every length of a search the effect is the test error of the distilled student minus that of the
best control up to that length. The compute to match is the least length from which on no effect is
below zero. Its 95 % range comes of two sequences of one-sided t tests at 2.5 % in an order that is
fixed beforehand, each until one fails (Maurer, Hothorn & Lehmacher 1995; see Wiens 2003,
Pharmaceutical Statistics 2): from the longest down, that the control is at least as good; from the
shortest up, that it is worse. A sequence can only be wrong where the first true null is rejected,
so each end is wrong with 2.5 % at most, however many lengths there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

from tutelage.findings.wording import amount

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Match:
    """The compute to match, in plain trainings of the student.

    It lies above `above` (None: not above the shortest length that was tried) and at or below `by`
    (None: not within the longest); with 95 %, above `surely_above` and at or below `surely_by`.
    `about` is interpolated between neighbouring lengths. `longest` is the longest that was tried,
    and `left` the effect there, in points. `known` tells whether there are intervals at all.
    """

    above: float | None
    by: float | None
    about: float | None
    surely_above: float | None
    surely_by: float | None
    longest: float
    left: float
    known: bool

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def in_words(self, name: str) -> str:
        """A sentence without its full stop."""
        if self.by is None:
            gap = amount(f"{-self.left:.1f}", "points")
            text = f"Labels alone do not match {name} within {self.longest:.1f}x: {gap} are missing"
        elif self.above is None:
            text = f"To match {name} without a teacher takes no more than {self.by:.1f}x"
        else:
            text = f"To match {name} without a teacher takes between {self.above:.1f}x and "
            text += f"{self.by:.1f}x"
            if self.about is not None:
                text += f", about {self.about:.1f}x"
        return f"{text} ({self._surely()})" if self.known else text

    def _surely(self) -> str:
        above = f"more than {self.surely_above:.1f}x" if self.surely_above else ""
        by = f"no more than {self.surely_by:.1f}x" if self.surely_by else ""
        said = " and ".join(filter(None, (above, by))) or "nothing is sure"
        return f"95 %: {said}"


def match(lengths: Sequence[Row]) -> Match | None:
    """From rows {"budget", "effect", "low", "high"} of ascending budgets, with two-sided 95 %
    intervals; rows without an effect are left out, and None is returned where none has one."""
    rows = [row for row in lengths if row["effect"] is not None]
    if not rows:
        return None
    known = all(row["low"] is not None for row in rows)
    below, above = rows, rows[::-1]
    under = _last(below, lambda row: row["effect"] < 0.0)
    over = _last(above, lambda row: row["effect"] >= 0.0)
    return Match(
        above=_budget(under),
        by=_budget(over),
        about=_between(under, over) if under and over and _adjoin(rows, under, over) else None,
        surely_above=_budget(_last(below, lambda row: row["high"] < 0.0)) if known else None,
        surely_by=_budget(_last(above, lambda row: row["low"] > 0.0)) if known else None,
        longest=rows[-1]["budget"],
        left=rows[-1]["effect"],
        known=known,
    )


def _last(rows: Iterable[Row], passes: Callable[[Row], bool]) -> Row | None:
    """The last of the rows before the first that fails."""
    passed = list(takewhile(passes, rows))
    return passed[-1] if passed else None


def _budget(row: Row | None) -> float | None:
    return row["budget"] if row is not None else None


def _adjoin(rows: Sequence[Row], under: Row, over: Row) -> bool:
    return rows.index(over) == rows.index(under) + 1


def _between(under: Row, over: Row) -> float:
    """Where the effect is zero, linear in the logarithm of compute between two lengths."""
    share = under["effect"] / (under["effect"] - over["effect"])
    return under["budget"] * (over["budget"] / under["budget"]) ** share
