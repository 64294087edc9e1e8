"""Seconds of a student's step, ours against the peers' way, loader and augmentation included."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from measure import Evidence, Turn, apart, evidence, in_turns, middle, random_images, ratio
from ours import Ours
from peers import Peer, PilImages, batches

from tutelage.errors import UserError
from tutelage.models.build import build_model
from tutelage.study.process import prepare_process

PAIRS = [("wrn-40-2", "wrn-16-1"), ("resnet-56", "resnet-20")]
BATCH, IMAGES, SHAPE, CLASSES = 128, 1280, (32, 32, 3), 10
PEERS = DISTILLED, SCRATCH = "peers, distilled", "peers, scratch"
OURS = {  # by name: the precision, how the teacher is heard, how many students
    f"ours, {hears}, {precision}, K={count}": (precision, hears, count)
    for precision, hears, count in itertools.product(("fp32", "bf16"), ("live", "replay"), (1, 8))
} | {f"ours, scratch, {precision}": (precision, None, 1) for precision in ("fp32", "bf16")}
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


def added(kept: Evidence, new: Evidence) -> Evidence:
    """All rounds of two measurements of the same ways on the same machine, under the later header.

    Raises UserError where machine or versions differ: their seconds are no repetitions.
    """
    for part in ("machine", "versions"):
        if kept[part] != new[part]:
            raise UserError(f"the rounds kept are of another {part}: {kept[part]}.",
                            fix="Measure without --more, which replaces them.")  # fmt: skip
    seconds = [
        {name: [*old["seconds"][name], *times] for name, times in pair["seconds"].items()}
        for old, pair in zip(kept["pairs"], new["pairs"], strict=True)
    ]
    pairs = [
        told(pair["teacher"], pair["student"], times)
        for pair, times in zip(new["pairs"], seconds, strict=True)
    ]
    occasions = kept.get("occasions", 1) + 1
    return new | {
        "rounds": kept["rounds"] + new["rounds"], "occasions": occasions, "pairs": pairs
    }  # fmt: skip


def compare(teacher: str, student: str, rounds: int) -> Evidence:
    """The times of all ways to train `student` from `teacher`, and how they compare."""
    with apart(peer_turns, teacher, student) as theirs, apart(our_turns, teacher, student) as ours:
        turns = dict.fromkeys(PEERS, theirs) | dict.fromkeys(OURS, ours)
        seconds = in_turns({name: partial(take, name) for name, take in turns.items()}, rounds)
    for name, (_, _, count) in OURS.items():
        # A turn of a way that trains several students at once is one step of all of them.
        seconds[name] = [taken / count for taken in seconds[name]]
    return told(teacher, student, seconds)


def told(teacher: str, student: str, seconds: Mapping[str, Sequence[float]]) -> Evidence:
    """What the seconds of a pair's ways, one figure a round each, come to."""
    against = {name: SCRATCH if "scratch" in name else DISTILLED for name in OURS}
    return {
        "teacher": teacher,
        "student": student,
        "seconds": seconds,
        "middle": {name: middle(times) for name, times in seconds.items()},
        "ratios": {name: ratio(seconds[yard], seconds[name]) for name, yard in against.items()},
        "teacher_share": 1
        - statistics.median(seconds[SCRATCH]) / statistics.median(seconds[DISTILLED]),
    }


def peer_turns(teacher: str, student: str) -> dict[str, Turn]:
    """A step of each of the peers' ways."""
    images, labels = random_images(IMAGES, SHAPE, CLASSES)
    taught = {DISTILLED: teacher, SCRATCH: None}
    steps = {name: peer_steps(student, of, images, labels) for name, of in taught.items()}
    return {name: partial(next, own) for name, own in steps.items()}


def our_turns(teacher: str, student: str) -> dict[str, Turn]:
    """A step of each of our ways, in a process as the workers of a study are."""
    prepare_process()
    images, labels = random_images(IMAGES, SHAPE, CLASSES)
    turns: dict[str, Turn] = {}
    for name, (precision, hears, count) in OURS.items():
        side = Ours(student, teacher if hears else None, images, labels, size=BATCH, count=count,
                    precision=precision, replay=hears == "replay")  # fmt: skip
        turns[name] = partial(next, our_steps(side))
    return turns


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
