"""Estimates in words: which way, by how much, how sure, and how many decimals that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tutelage.config.metrics import unit_of
from tutelage.findings.intervals import Estimate
from tutelage.findings.pairing import Sample

_MOST_DECIMALS = 6
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_PARTS = {"": "", "_scale": "scale part, ", "_shape": "shape part, "}


def phrase(metric: str) -> str:
    """A metric in words: "test error", "KL from its teacher (shape part, train, temperature 4)"."""
    if metric == "best_val_error":
        return "best validation error"
    split, _, name = metric.partition("_")
    where = _SPLITS.get(split)
    if where is None:
        return metric
    if name.startswith("kl") and "_t" in name:
        part, _, temperature = name.removeprefix("kl").rpartition("_t")
        return f"KL from its teacher ({_PARTS[part]}{where}, temperature {temperature})"
    names = {
        "error": f"{where} error",
        "top5": f"top-5 {where} error",
        "nll": f"{where} NLL",
        "ece": f"{where} calibration error",
        "brier": f"{where} Brier score",
        "agreement": f"agreement with its teacher ({where})",
    }
    return names.get(name, metric)


def amount(value: str, unit: str) -> str:
    """A number with its unit: "1 point", "0.5 points", "0.03"."""
    if value == "1" and unit:
        unit = unit.removesuffix("s")
    return f"{value} {unit}".rstrip()


def percent(level: float) -> str:
    """A confidence level in percent, in as many decimals as tell what is left of 100: "95",
    "99.3"."""
    rest = 100.0 * (1.0 - level)
    places = next((p for p in range(6) if abs(round(rest, p) - rest) <= 0.05 * rest), 6)
    return f"{100.0 - round(rest, places):.{places}f}"


def decimals(found: Estimate, metric: str, margin: float | None = None) -> int:
    """The fewest decimals at which rounding moves no end of an interval to, or past, zero or a
    margin, and the ends remain apart; at least 1 for points and 2 for the rest."""
    least = 1 if unit_of(metric) == "points" else 2
    if found.low is None or found.high is None:
        return least
    marks = [0.0] if margin is None else [-margin, 0.0, margin]
    pairs = [(end, mark) for end in (found.low, found.high) for mark in marks]
    for places in range(least, _MOST_DECIMALS):
        kept = all(_side(round(end, places), mark) == _side(end, mark) for end, mark in pairs)
        apart = round(found.low, places) != round(found.high, places)
        if kept and (apart or found.low == found.high):
            return places
    return _MOST_DECIMALS


def _side(value: float, mark: float) -> int:
    return (value > mark) - (value < mark)


def interval(found: Estimate, places: int, words: Sequence[str] = ("less", "more")) -> str:
    """ "2.1 to 2.9 less", "0.4 less to 1.2 more"."""
    if found.low is None or found.high is None:
        return "no interval"
    down, up = words
    low, high = f"{abs(found.low):.{places}f}", f"{abs(found.high):.{places}f}"
    if found.low >= 0.0:
        return f"{low} to {high} {up}"
    if found.high <= 0.0:
        return f"{high} to {low} {down}"
    return f"{low} {down} to {high} {up}"


def evidence(
    found: Estimate, sample: Sample[Any], places: int, words: Sequence[str] = ("less", "more")
) -> str:
    """ "95 % interval 2.1 to 2.9 less, 8 replicates"."""
    text = interval(found, places, words)
    if found.low is not None:
        text = f"{percent(found.level)} % interval {text}"
    return f"{text}, {replicates(found, sample)}"


def replicates(found: Estimate, sample: Sample[Any]) -> str:
    """ "8 replicates", "7 of 8 replicates"."""
    count = str(found.n) if found.n == sample.replicates else f"{found.n} of {sample.replicates}"
    return f"{count} {'replicate' if sample.replicates == 1 else 'replicates'}"


def comparison(first: str, second: str, metric: str, effect: float, places: int) -> str:
    """ "kd/matched has 2.5 points less test error than kd/large"."""
    shown = f"{abs(effect):.{places}f}"
    unit = unit_of(metric)
    if float(shown) == 0.0:
        to = amount(f"{10.0**-places:.{places}f}", unit)
        return f"{first} has, to {to}, the same {phrase(metric)} as {second}"
    word = "less" if effect < 0 else "more"
    return f"{first} has {amount(shown, unit)} {word} {phrase(metric)} than {second}"


def slope_text(metric: str, effect: float, places: int) -> str:
    """ "test error rises by 1.2 points"."""
    shown = f"{abs(effect):.{places}f}"
    unit = unit_of(metric)
    if float(shown) == 0.0:
        return f"{phrase(metric)} stays the same to {amount(f'{10.0**-places:.{places}f}', unit)}"
    return f"{phrase(metric)} {'falls' if effect < 0 else 'rises'} by {amount(shown, unit)}"


def counted(number: int, one: str, many: str) -> str:
    """ "1 diverged run is", "2 diverged runs are"."""
    return f"{number} {one if number == 1 else many}"
