"""Seconds of a student's step, ours against the peers' way: interleaved, on one core.

    python benchmarks/steps.py [--quick] [--json FILE]

Every figure is the median over rounds; in each round every way takes its turn, so that what else
the machine does falls on all alike. Loader and augmentation are counted on both sides.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from ours import Ours
from peers import Peer, batches

from tutelage.models.build import build_model
from tutelage.provenance import machine, versions

PAIRS = [("wrn-40-2", "wrn-16-1"), ("resnet-56", "resnet-20")]
BATCH, IMAGES, COHORT = 128, 1280, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one pair and few rounds")
    parser.add_argument("--json", metavar="FILE", help="where the evidence is written")
    asked = parser.parse_args()
    pin()
    rounds = 5 if asked.quick else 9
    pairs = PAIRS[:1] if asked.quick else PAIRS
    found = [compare(teacher, student, rounds) for teacher, student in pairs]
    evidence = {
        "what": "median seconds of one student's step, loader and augmentation included",
        "date": datetime.date.today().isoformat(),
        "machine": machine(), "versions": versions(), "threads": 1,
        "batch": BATCH, "rounds": rounds, "pairs": found,
    }  # fmt: skip
    for pair in found:
        show(pair)
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump(evidence, file, indent=1)


def pin() -> None:
    """One core and one thread for everything, as a worker has it."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def compare(teacher: str, student: str, rounds: int) -> dict[str, Any]:
    """The times of all ways to train `student` from `teacher`, and the ratios of the medians."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 32, 32, 3)).astype(np.uint8)
    labels = rng.integers(0, 10, IMAGES)
    turns: dict[str, tuple[int, Iterator[None]]] = {}
    for name, taught in (("peers, distilled", teacher), ("peers, scratch", None)):
        turns[name] = 1, peer(student, taught, images, labels)
    for precision, replay, count in itertools.product(("fp32", "bf16"), (False, True), (1, COHORT)):
        name = f"ours, {'replay' if replay else 'live'}, {precision}, K={count}"
        side = Ours(student, teacher, images, labels, size=BATCH, count=count,
                    precision=precision, replay=replay)  # fmt: skip
        turns[name] = count, own(side)
    for precision in ("fp32", "bf16"):
        side = Ours(student, None, images, labels, size=BATCH, count=1, precision=precision,
                    replay=False)  # fmt: skip
        turns[f"ours, scratch, {precision}"] = 1, own(side)
    seconds = interleaved(turns, rounds)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = {}
    for name, median in medians.items():
        if name.startswith("ours"):
            against = "peers, scratch" if "scratch" in name else "peers, distilled"
            ratios[name] = medians[against] / median
    return {"teacher": teacher, "student": student, "seconds": seconds, "medians": medians,
            "ratios": ratios}  # fmt: skip


def peer(
    student: str, teacher: str | None, images: np.ndarray, labels: np.ndarray
) -> Iterator[None]:
    shape = images.shape[1:]
    side = Peer(build_model(student, shape, 10, 0), teacher and build_model(teacher, shape, 10, 0))
    for batch in batches(images, labels, BATCH):
        side.step(*batch)
        yield


def own(side: Ours) -> Iterator[None]:
    for batch in side.batches():
        side.step(batch)
        yield


def interleaved(
    turns: dict[str, tuple[int, Iterator[None]]], rounds: int
) -> dict[str, list[float]]:
    """Seconds of a student's step for each way, one figure a round; the first round is thrown
    away. A turn of a way that trains several students at once is one step of all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, (count, steps) in turns.items():
            taken = timed(lambda steps=steps: next(steps))
            if number:
                seconds[name].append(taken / count)
    return seconds


def timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def show(pair: dict[str, Any]) -> None:
    print(f"\n{pair['teacher']} -> {pair['student']}, batch {BATCH}, one core")
    for name, median in pair["medians"].items():
        times = pair["seconds"][name]
        spread = (max(times) - min(times)) / median
        ratio = f"{pair['ratios'][name]:5.2f}x" if name in pair["ratios"] else "      "
        print(f"  {name:30} {1e3 * median:8.1f} ms  {ratio}  (range {100 * spread:.0f} %)")


if __name__ == "__main__":
    main()
