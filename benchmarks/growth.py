"""Time and memory as a study grows: students, teachers, epochs, classes, images.

Every point is trained in fresh processes, ours and the peers' way in turns, so that the memory at
its most is that of this point alone. Students learn from one teacher on one stream, as those of the
conditions of a study do.

    python benchmarks/growth.py SIDE POINT    (one process of it; POINT is JSON)
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from measure import Evidence, evidence, middle, one_core, random_images, ratio, seconds_of
from ours import Ours
from peers import Peer, PilImages, batches

from tutelage.models.build import build_model

TEACHER, STUDENT, BATCH, SHAPE = "wrn-16-2", "wrn-10-1", 64, (16, 16, 3)


@dataclass(frozen=True)
class Point:
    """How large a study is: students of each teacher, teachers, epochs, classes, images."""

    students: int = 2
    teachers: int = 1
    epochs: int = 1
    classes: int = 10
    images: int = 1024


GROWTH: dict[str, tuple[int, ...]] = {
    "students": (1, 2, 4, 8),
    "teachers": (1, 2, 4),
    "epochs": (1, 2, 4),
    "classes": (10, 100, 1000),
    "images": (1024, 4096, 16384),
}


def measure(quick: bool) -> Evidence:
    """All points, twice each; `quick`: the ends of two rows, once."""
    rounds = 1 if quick else 2
    growth = {what: GROWTH[what] for what in ("students", "classes")} if quick else GROWTH
    known: dict[Point, Evidence] = {}
    rows = {}
    for what, values in growth.items():
        points = [replace(Point(), **{what: value}) for value in values]
        for point in points[:: len(points) - 1] if quick else points:
            known[point] = known.get(point) or compare(point, rounds)
        rows[what] = [asdict(point) | known[point] for point in points if point in known]
    return evidence(
        "core-seconds and memory at its most of training all students, fp32, live teachers",
        teacher=TEACHER, student=STUDENT, batch=BATCH, shape=SHAPE, rounds=rounds, rows=rows,
    )  # fmt: skip


def ratios(found: Evidence) -> dict[str, float]:
    """How many times faster ours is at the end of each row."""
    ends = {what: row[-1] for what, row in found["rows"].items()}
    return {f"{end[what]} {what}": end["ratio"]["value"] for what, end in ends.items()}


def compare(point: Point, rounds: int) -> Evidence:
    """Ours and the peers' way at one point: seconds, and MiB of the process at its most, with what
    it had before it trained."""
    told: dict[str, list[dict[str, float]]] = {"peers": [], "ours": []}
    for _ in range(rounds):
        for side, results in told.items():
            results.append(in_process(side, point))
    seconds = {side: [r["seconds"] for r in results] for side, results in told.items()}
    mib = {
        side: {
            when: statistics.median(r[when] for r in results) for when in ("mib_before", "mib_most")
        }
        for side, results in told.items()
    }
    return {"ratio": ratio(seconds["peers"], seconds["ours"]), "memory": mib,
            "middle": {side: middle(times) for side, times in seconds.items()}}  # fmt: skip


def in_process(side: str, point: Point) -> dict[str, float]:
    """Train one side of a point in a process of its own; what it tells."""
    command = [sys.executable, str(Path(__file__)), side, json.dumps(asdict(point))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def train(side: str, point: Point) -> dict[str, float]:
    """Train all students of a point, in this process."""
    images, labels = random_images(point.images, SHAPE, point.classes)
    do = SIDES[side](point, images, labels)
    before = most_mib()
    return {"seconds": seconds_of(do), "mib_before": before, "mib_most": most_mib()}


def train_ours(point: Point, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """Each teacher is asked once a batch, and all students see the same batches."""
    sides = [
        Ours(STUDENT, TEACHER, images, labels, size=BATCH, count=point.students, precision="fp32",
             replay=False)
        for _ in range(point.teachers)
    ]  # fmt: skip

    def do() -> None:
        for epoch in range(point.epochs):
            for batch in sides[0].stream.epoch(epoch):
                for side in sides:
                    side.step(batch)

    return do


def train_peers(point: Point, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """Each student by itself, its teacher asked for it alone."""
    pictures = PilImages(images, labels)

    def do() -> None:
        for _ in range(point.students * point.teachers):
            networks = (build_model(name, SHAPE, point.classes, 0) for name in (STUDENT, TEACHER))
            side, loader = Peer(*networks), batches(pictures, BATCH)
            for _ in range(point.epochs * (point.images // BATCH)):
                side.step(*next(loader))

    return do


SIDES = {"ours": train_ours, "peers": train_peers}


def most_mib() -> float:
    """The memory of this process at its most, MiB.

    Linux hands `ru_maxrss` on from the process that started this one, so it is asked elsewhere.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


if __name__ == "__main__":
    with one_core():
        print(json.dumps(train(sys.argv[1], Point(**json.loads(sys.argv[2])))))
