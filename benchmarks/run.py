"""All benchmarks, one after the other; what they find goes into results/ and docs/speed.md.

    python benchmarks/run.py [--quick] [--only NAME,...] [--more] [--json]
                             [--data CIFAR-10] [--store DIR] [--set KEY=VALUE]

The names are steps, parts, profile, fused, torchdistill, growth, demo, demo-clean and
cifar10-quick. The last needs --data or --store. A --quick run, or one with --set, shows its figures
but leaves the results alone. `--only steps --more` adds rounds to those that are kept: a machine is
not equally fast at all times, and several occasions say more than one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import end_to_end
import fused
import growth
import page
import parts
import profile_step
import steps
import toolkit
from measure import Evidence, one_core

from tutelage.errors import UserError

RESULTS = Path(__file__).parent / "results"
ON_ONE_CORE = {
    "steps": steps, "parts": parts, "profile": profile_step, "fused": fused,
    "torchdistill": toolkit, "growth": growth,
}  # fmt: skip
STUDIES = ("demo", "demo-clean", "cifar10-quick")


def main() -> None:
    asked = arguments()
    found: dict[str, float] = {}
    for name in asked.only or [*ON_ONE_CORE, *STUDIES]:
        began = time.perf_counter()
        say(f"{name} ...")
        with redirect_stdout(sys.stderr):  # stdout is for the ratios
            result = measure(name, asked)
        if isinstance(result, str):
            say(f"  {result}")
            continue
        path = RESULTS / f"{name}.json"
        if asked.more and path.exists():
            result = steps.added(json.loads(path.read_text("utf-8")), result)
        ratios = (ON_ONE_CORE.get(name) or end_to_end).ratios(result)
        found |= ratios
        for what, value in ratios.items():
            say(f"  {what:60} {value:10.3g}")
        say(f"  ({time.perf_counter() - began:.0f} s)")
        if not asked.quick and not asked.set:
            path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if not asked.quick and not asked.set:
        page.write(RESULTS)
    if asked.json:
        print(json.dumps(found, indent=1))


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three minutes, nothing is kept")
    parser.add_argument("--only", type=names, help="some of the benchmarks, by name")
    parser.add_argument("--json", action="store_true", help="print the ratios as JSON")
    parser.add_argument("--data", help="CIFAR-10 in any format, for cifar10-quick")
    parser.add_argument("--store", help="a store in which the studies were run before")
    parser.add_argument("--set", action="append", default=[], help="a key of the studies, changed")
    parser.add_argument(
        "--more", action="store_true", help="add rounds to those kept, with --only steps"
    )
    asked = parser.parse_args()
    if asked.more and (asked.only != ["steps"] or asked.quick):
        parser.error("--more goes with --only steps, and without --quick.")
    return asked


def names(text: str) -> list[str]:
    """The names of benchmarks in a list with commas."""
    asked = text.split(",")
    known = [*ON_ONE_CORE, *STUDIES]
    if unknown := [name for name in asked if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return asked


def measure(name: str, asked: argparse.Namespace) -> Evidence | str:
    """What a benchmark finds, or a sentence that says why there is nothing to measure."""
    if name in ON_ONE_CORE:
        with one_core():
            return ON_ONE_CORE[name].measure(asked.quick)
    if asked.quick and not asked.only:
        return "whole studies take minutes; without --quick they are measured."
    if name == "cifar10-quick" and not asked.data and not asked.store:
        return "needs CIFAR-10; give its folder with --data."
    data = asked.data if name == "cifar10-quick" else None
    return end_to_end.measure(name, data, asked.store, asked.set)


def say(text: str) -> None:
    """Tells the reader how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
