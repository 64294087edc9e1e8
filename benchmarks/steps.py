"""Seconds of a student's step, ours against the peers' way, loader and augmentation included."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator

import numpy as np
from measure import Evidence, Turn, evidence, interleaved, middle, random_images, ratio
from ours import Ours
from peers import Peer, PilImages, batches

from tutelage.models.build import build_model

PAIRS = [("wrn-40-2", "wrn-16-1"), ("resnet-56", "resnet-20")]
BATCH, IMAGES, COHORT = 128, 1280, 8
GOALS = {  # times the peers' step, and in brackets the stretch
    "wrn-16-1": {
        "ours, live, bf16, K=8": (6.0, 7.0), "ours, replay, bf16, K=8": (8.0, 9.5),
        "ours, live, fp32, K=8": (3.5, 4.0), "ours, replay, fp32, K=8": (4.5, 5.0),
        "ours, live, bf16, K=1": (2.2, 2.6), "ours, scratch, bf16": (2.2, 2.6),
    },
    "resnet-20": {
        "ours, live, bf16, K=8": (3.5, 4.0), "ours, replay, bf16, K=8": (4.0, 4.3),
        "ours, live, fp32, K=8": (2.2, 2.4), "ours, replay, fp32, K=8": (2.2, 2.4),
        "ours, live, bf16, K=1": (2.2, 2.6), "ours, scratch, bf16": (2.2, 2.6),
    },
}  # fmt: skip


def measure(quick: bool) -> Evidence:
    """Both pairs over nine rounds; `quick`: one pair over five."""
    rounds = 5 if quick else 9
    pairs = [compare(*pair, rounds) for pair in PAIRS[: 1 if quick else None]]
    return evidence("seconds of one student's step, loader and augmentation included",
                    batch=BATCH, images=IMAGES, rounds=rounds, pairs=pairs)  # fmt: skip


def ratios(found: Evidence) -> dict[str, float]:
    """How many times the peers' step ours is, by pair and way."""
    return {
        f"{pair['teacher']} -> {pair['student']}, {name}": figures["value"]
        for pair in found["pairs"]
        for name, figures in pair["ratios"].items()
    }


def compare(teacher: str, student: str, rounds: int) -> Evidence:
    """The times of all ways to train `student` from `teacher`, and how they compare."""
    images, labels = random_images(IMAGES, (32, 32, 3), 10)
    counts: dict[str, int] = {}
    turns: dict[str, Turn] = {}

    def add(name: str, count: int, steps: Iterator[None]) -> None:
        counts[name], turns[name] = count, lambda: next(steps)

    add("peers, distilled", 1, peer_steps(student, teacher, images, labels))
    add("peers, scratch", 1, peer_steps(student, None, images, labels))
    for precision, replay, count in itertools.product(("fp32", "bf16"), (False, True), (1, COHORT)):
        side = Ours(student, teacher, images, labels, size=BATCH, count=count,
                    precision=precision, replay=replay)  # fmt: skip
        name = f"ours, {'replay' if replay else 'live'}, {precision}, K={count}"
        add(name, count, our_steps(side))
    for precision in ("fp32", "bf16"):
        side = Ours(student, None, images, labels, size=BATCH, count=1, precision=precision,
                    replay=False)  # fmt: skip
        add(f"ours, scratch, {precision}", 1, our_steps(side))
    # A turn of a way that trains several students at once is one step of all of them.
    seconds = {
        name: [taken / counts[name] for taken in times]
        for name, times in interleaved(turns, rounds).items()
    }
    against = {
        name: "peers, scratch" if "scratch" in name else "peers, distilled"
        for name in seconds
        if name.startswith("ours")
    }
    return {
        "teacher": teacher,
        "student": student,
        "seconds": seconds,
        "middle": {name: middle(times) for name, times in seconds.items()},
        "ratios": {name: ratio(seconds[yard], seconds[name]) for name, yard in against.items()},
        "teacher_share": 1
        - statistics.median(seconds["peers, scratch"])
        / statistics.median(seconds["peers, distilled"]),
    }


def peer_steps(
    student: str, teacher: str | None, images: np.ndarray, labels: np.ndarray
) -> Iterator[None]:
    """The peers' steps without end, one at each turn."""
    shape, classes = images.shape[1:], int(labels.max()) + 1
    taught = build_model(teacher, shape, classes, 0) if teacher else None
    side = Peer(build_model(student, shape, classes, 0), taught)
    for batch in batches(PilImages(images, labels), BATCH):
        side.step(*batch)
        yield


def our_steps(side: Ours) -> Iterator[None]:
    """Our steps without end: at each turn one of every student."""
    for batch in side.batches():
        side.step(batch)
        yield
