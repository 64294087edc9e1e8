"""Tiny students, eight side by side in one fused network, against the same eight one by one.

A study fuses networks that are `is_tiny` by the catalog, and no others; wrn-10-1 is measured beside
them to show why.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from measure import Evidence, Turn, evidence, interleaved, middle, random_images, ratio
from ours import KD

from tutelage.config.chain import FUSED_GROUP, EpochStep, Start
from tutelage.config.schema import Sgd
from tutelage.data.stream import Batch, Stream
from tutelage.data.views import Views, parse_views
from tutelage.data.world import Split
from tutelage.models.build import Shape, build_model
from tutelage.models.catalog import parse_model
from tutelage.teachers.signals import TableSignal
from tutelage.training.fused_stepper import FusedStepper
from tutelage.training.optimizer import build_optimizer
from tutelage.training.stepper import EagerStepper
from tutelage.training.trainee import Trainee

STUDENTS = [
    ("plain-8-8-8", (8, 8, 1)), ("plain-4-4-4", (8, 8, 1)), ("wrn-10-0.25", (16, 16, 3)),
    ("wrn-10-1", (16, 16, 3)),
]  # fmt: skip
VIEWS, BATCH, IMAGES, CLASSES, STEPS = "shift-1", 50, 500, 10, 10
GOAL = 2.5
STEP = EpochStep(0.05, 0.1, 0.9, KD, "teacher")


def measure(quick: bool) -> Evidence:
    """All students; `quick`: with fewer rounds."""
    rounds = 5 if quick else 15
    students = [compare(model, shape, rounds) for model, shape in STUDENTS]
    return evidence(
        "seconds of one student's step, eight fused against eight by themselves, fp32, replay",
        batch=BATCH, group=FUSED_GROUP, rounds=rounds, steps_a_turn=STEPS, students=students,
    )  # fmt: skip


def ratios(found: Evidence) -> dict[str, float]:
    """How many times faster a fused student is, by its name."""
    return {f"{row['model']}, fused": row["ratio"]["value"] for row in found["students"]}


def compare(model: str, shape: Shape, rounds: int) -> Evidence:
    """Eight students, each with a stream and weights of its own, in turns of STEPS steps."""
    images, labels = random_images(IMAGES, shape, CLASSES)
    split = Split(images, labels)
    mean, std = images.mean((0, 1, 2), dtype="f4") / 255, images.std((0, 1, 2), dtype="f4") / 255
    views = parse_views(VIEWS)
    assert isinstance(views, Views)
    table = TableSignal(torch.randn(views.count, IMAGES, CLASSES).half())

    def streams() -> list[Iterator[Batch]]:
        return [endless(Stream(split, views, BATCH, seed, mean, std))
                for seed in range(FUSED_GROUP)]  # fmt: skip

    def start(stepper: str) -> Start:
        return Start(data="", views=VIEWS, batch_size=BATCH, model=model, init_seed=0,
                     stream_seed=0, optimizer=Sgd(), stepper=stepper)  # fmt: skip

    alone = [EagerStepper(t.model, t.optimizer, start("eager")) for t in trainees(model, shape)]
    for stepper in alone:
        stepper.begin(STEP, table)
    fused = FusedStepper(trainees(model, shape), start("fused"))
    fused.begin([STEP] * FUSED_GROUP, [table] * FUSED_GROUP)
    eager_batches, fused_batches = streams(), streams()

    def one_by_one() -> None:
        for stepper, batches in zip(alone, eager_batches, strict=True):
            for _ in range(STEPS):
                stepper.step(next(batches))

    def side_by_side() -> None:
        for _ in range(STEPS):
            fused.step([next(batches) for batches in fused_batches])

    turns: dict[str, Turn] = {"eager": one_by_one, "fused": side_by_side}
    seconds = {
        name: [taken / (STEPS * FUSED_GROUP) for taken in times]
        for name, times in interleaved(turns, rounds).items()
    }
    return {
        "model": model,
        "shape": shape,
        "tiny": parse_model(model).is_tiny,
        "ratio": ratio(seconds["eager"], seconds["fused"]),
        "middle": {name: middle(times) for name, times in seconds.items()},
    }


def trainees(model: str, shape: Shape) -> list[Trainee]:
    """As many students as a group holds, each with weights of its own."""
    models = [build_model(model, shape, CLASSES, seed) for seed in range(FUSED_GROUP)]
    return [Trainee(m, build_optimizer(Sgd(), m.parameters())) for m in models]


def endless(stream: Stream) -> Iterator[Batch]:
    """The batches of epoch after epoch."""
    epoch = 0
    while True:
        yield from stream.epoch(epoch)
        epoch += 1
