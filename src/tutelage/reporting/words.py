"""Numbers and verdicts in words, the same in every report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tutelage.findings.beside import AGREES, DIFFERS, OPEN, OURS
from tutelage.reporting.summary import Interval

NONE = "–"
MINUS = "−"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a verdict is shown.

    `look` is its class on the page, `mark` is readable without colour, `style` is for terminals.
    """

    word: str
    look: str
    mark: str
    style: str


_VERDICTS = {
    "supported": Verdict("supported", "supported", "✓", "bold green"),
    "refuted": Verdict("refuted", "refuted", "✗", "bold red"),
    "undecided": Verdict("undecided", "undecided", "○", "bold yellow"),
    "none": Verdict("no verdict", "untested", "–", "bold"),
    "not tested": Verdict("not tested", "untested", "–", "bold"),
    "depends on softness": Verdict("depends on softness", "divided", "◐", "bold"),
}
_SENTENCE_END = re.compile(r"(?<=\.) (?=[A-Z])")


def verdict(word: str) -> Verdict:
    """The look of a verdict; a word that is not known looks like `not tested`."""
    return _VERDICTS.get(word) or Verdict(word, "untested", "–", "bold")


def basis(finding: Mapping[str, Any]) -> list[str]:
    """What a finding rests on, and what would change it, where the document says that."""
    lines = [f"Method: {finding['method']}; n = {plural(finding['n'], 'replicate')}."]
    if finding.get("would_change"):
        lines.append(f"What would change it: {finding['would_change']}.")
    return lines


# How a verdict stands to the paper, where that is not said by its own words.
_STANDS = {
    AGREES: " Agrees, on these data.",
    DIFFERS: " Does not agree, on these data.",
    OPEN: "",  # the verdict says so already
    OURS: "",
}


def beside_paper(told: Mapping[str, Any] | None) -> list[str]:
    """What a paper says of a finding's claim, how the verdict stands to it, and what follows; see
    `tutelage.findings.beside`. Nothing for a claim without a note."""
    if not told:
        return []
    stands = _STANDS.get(told["stands"], f" {told['stands'].capitalize()}.")
    lines = [f"Beside the paper ({told['item']}): {told['says']}{stands}"]
    return lines + ([f"What follows: {told['follows']}"] if told["follows"] else [])


def unbroken(text: str) -> str:
    """The text with no line break between a number and its percent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def sentences(text: str) -> list[str]:
    """A paragraph's sentences, for setting them one below the other."""
    return _SENTENCE_END.split(text)


def number(value: float | None, places: int = 2, *, sign: bool = False) -> str:
    """A number with a true minus sign; a dash for None. `sign` writes the plus too."""
    if value is None:
        return NONE
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def plus_minus(interval: Interval | None, places: int = 2, *, sign: bool = False) -> str:
    """`mean ± half width`, or the mean alone where there is no interval."""
    if interval is None:
        return NONE
    mean = number(interval.mean, places, sign=sign)
    return mean if interval.half is None else f"{mean} ± {number(interval.half, places)}"


def bounds(low: float | None, high: float | None, places: int = 2, *, sign: bool = False) -> str:
    """`(low to high)`, or nothing without an interval."""
    if low is None or high is None:
        return ""
    return f"({number(low, places, sign=sign)} to {number(high, places, sign=sign)})"


def with_bounds(interval: Interval, unit: str, places: int = 2, *, sign: bool = False) -> str:
    """`mean unit (low to high)`."""
    mean = f"{number(interval.mean, places, sign=sign)} {unit}"
    return f"{mean} {bounds(interval.low, interval.high, places, sign=sign)}".rstrip()


def magnitude(count: int) -> str:
    """A count in three figures: 1.36 k, 36.5 M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def seconds(value: float) -> str:
    """A duration: 0.4 s, 42 s, 12 min 05 s, 3 h 20 min."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listing(names: list[str], most: int = 8) -> str:
    """Names joined by commas and `and`; those beyond `most` are counted."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
