"""docs/calibration.md, from the figures in results.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[1] / "docs" / "calibration.md"
FALSE, COVERED, POWER = 6.0, (93.0, 97.0), 5.0  # what was promised, in percent

_INTRO = """# How often are findings wrong?

*Written by `calibration/run.py` from `calibration/results.json`; `make calibration` does it anew.*

The statistics, tried on ourselves. {trained:,} real trainings (`calibration/pool.yaml`: the demo's
students under five teachers, 40 replicates of 3 students, each with its own split, wrong labels and
teachers) are drawn from to make studies whose truth is known, and every one is judged by the code
that judges yours. {studies:,} studies stand behind each row.

- **false**: studies in which any verdict is false; nominal 5 %, at most {false:g} % is asked for. A
  difference can only be falsely supported *or* falsely refuted in one truth, so 2.5 % is its share.
- **held**: studies of which all 95 % intervals hold the truth; {low:g} to {high:g} % is asked
  for. Sets of the best, and several intervals that hold together, are built to hold in 95 % *or
  more*: those are marked ≥.
- **wrong sign**: studies with an interval on the wrong side of zero.

The pool's own effects are drawn smoothly: each replicate is moved towards another, which keeps
means, spreads and pairing. Drawn plainly, one study in fourteen of three replicates holds the same
one twice, as no real study does, and its spread is too small: of three intervals together, 92.6 %
held so, and 95.2 % where no replicate was drawn twice.

The truth of a prediction is the regret to be expected with the teachers at hand; where that is also
its margin, either verdict is false, and that a selector of noise finds the best is false always.

| drawn | replicates | false, % | held, % | wrong sign, % | |
|---|---|---|---|---|---|
"""


def text(results: dict[str, Any], trained: int = 1040) -> str:
    """The page."""
    rows = results["table"]
    page = _INTRO.format(
        trained=trained, studies=min(row["studies"] for row in rows), false=FALSE, low=COVERED[0],
        high=COVERED[1],
    )  # fmt: skip
    for row in rows:
        held = (
            "" if row["covered"] is None else f"{'' if row['exact'] else '≥ '}{row['covered']:.1f}"
        )
        page += (
            f"| {row['scenario']} | {row['replicates']} | {row['false']:.1f} | {held} "
            f"| {row['wrong_sign']:.1f} | {'; '.join(broken(row)) or 'kept'} |\n"
        )
    page += _POWER
    for row in results["promises"]:
        off = row["found"] - row["promised"]
        kept = "kept" if abs(off) <= POWER else "**broken**"
        page += (
            f"| {row['pair']} | {row['replicates']} | {row['promised']:.1f} | {row['found']:.1f} "
            f"| {off:+.1f} | {kept} |\n"
        )
    planned = results["planned"]
    page += _PLANNED.format(**planned)
    for row in results["failing"]:
        page += f"| {row['what']} | {row['theirs']:.1f} | {row['ours']:.1f} |\n"
    return page


def broken(row: dict[str, Any]) -> list[str]:
    """The promises that a row of the table does not keep."""
    found = []
    if row["false"] > FALSE:
        found.append("**false too often**")
    if row["covered"] is not None:
        if row["covered"] < COVERED[0]:
            found.append("**holds too seldom**")
        if row["exact"] and row["covered"] > COVERED[1]:
            found.append("**wider than need be**")
    return found


_POWER = f"""
## Is power what `plan` says?

Pairs of the pool, moved so that the true effect is the margin. *Promised* is the chance that the
formula of `plan` gives at the pool's own spread; at most {POWER:g} points between the two are
asked for.

| pair | replicates | promised, % | found, % | difference | |
|---|---|---|---|---|---|
"""

_PLANNED = """
And with a spread that has to be measured first: {studies:,} pilots of 6 replicates, each followed
by a study of as many replicates as `plan` asked for to have a chance of 80 %. {found:.1f} % of
those studies found the effect, and {kept:.1f} % of the pilots asked for enough (the bound on the
spread is one of 80 %). Where the pilot's replicates became a part of the study, and there was no
effect, {false:.1f} % of the studies supported one (nominal 2.5 %).

## The methods that fail

False findings in percent, of a method in use elsewhere and of ours on the same runs; nominal 5 %.

| what | theirs | ours |
|---|---|---|
"""


def write(results: dict[str, Any]) -> None:
    """Writes the page."""
    PATH.write_text(text(results))
