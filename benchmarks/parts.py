"""What a step spends beside its networks: making views, and reading a teacher's logits."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable

import torch
from measure import Evidence, evidence, interleaved, middle, random_images, ratio
from ours import MEAN, STD, Ours
from peers import PilImages, batches

from tutelage.data.stream import Stream
from tutelage.data.views import Views, parse_views
from tutelage.data.world import Split
from tutelage.models.build import build_model
from tutelage.store import Store
from tutelage.teachers.bank import Bank
from tutelage.teachers.signals import EpochSignal, LiveSignal, TableSignal
from tutelage.training.stepper import Signal

BATCH, SHAPE, CLASSES = 128, (32, 32, 3), 10
STUDENT = "wrn-16-1"
GOALS = {"augmentation, us an image": 12.0, "replay, share of a step": 0.01}


def measure(quick: bool) -> Evidence:
    """Both parts; `quick`: with fewer rounds."""
    rounds = 5 if quick else 15
    return evidence(
        "microseconds an image of views and normalising; replay against a student's step",
        batch=BATCH, shape=SHAPE, rounds=rounds, augmentation=augmentation(rounds),
        replay=replay(rounds),
    )  # fmt: skip


def ratios(found: Evidence) -> dict[str, float]:
    """The figures that GOALS is about, and how many times the peers' loader ours is."""
    shares = [figures["share"] for figures in found["replay"]["ways"].values()]
    return {
        "augmentation, us an image": found["augmentation"]["middle"]["ours"]["median"],
        "augmentation, times the peers' loader": found["augmentation"]["ratio"]["value"],
        "replay, share of a step": max(shares),
    }


def augmentation(rounds: int) -> Evidence:
    """Microseconds an image of crop-4-flip and normalising: our stream, and the peers' loader.

    A turn of ours is a whole epoch, because a stream makes several batches at once.
    """
    images, labels = random_images(50 * BATCH, SHAPE, CLASSES)
    stream = Stream(Split(images, labels), parse_views("crop-4-flip"), BATCH, 0, MEAN, STD)
    loader = batches(PilImages(images, labels), BATCH)
    seconds = interleaved(
        {"ours": lambda: exhaust(stream.epoch(0)), "peers": lambda: next(loader)}, rounds
    )
    counts = {"ours": len(labels), "peers": BATCH}
    times = {name: [1e6 * s / counts[name] for s in seconds[name]] for name in seconds}
    return {"views": "crop-4-flip", "times": times, "ratio": ratio(times["peers"], times["ours"]),
            "middle": {name: middle(values) for name, values in times.items()}}  # fmt: skip


def replay(rounds: int) -> Evidence:
    """Seconds of reading a batch's logits from a bank, as a share of a bf16 student's step.

    `epoch file`: opening the file with its checksum counts too, spread over the epoch's batches;
    `table`: one row of a table of all views. bf16 is the shortest step there is.
    """
    images, labels = random_images(50 * BATCH, SHAPE, CLASSES)
    views = parse_views("crop-4-flip")
    assert isinstance(views, Views)
    side = Ours(STUDENT, None, images, labels, size=BATCH, count=1, precision="bf16", replay=False)
    steps = side.batches()
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank(Store.open(folder))
        live = LiveSignal(build_model("plain-4", SHAPE, CLASSES, 0))

        def signal() -> EpochSignal:
            return EpochSignal(live, bank, "teacher", len(labels), CLASSES, side.stream)

        epoch = list(side.stream.epoch(0))
        ask(signal(), epoch)  # leaves the epoch's logits in the bank
        table = TableSignal(torch.zeros(views.count, len(labels), CLASSES, dtype=torch.float16))
        seconds = interleaved(
            {
                "step": lambda: side.step(next(steps)),
                "epoch file": lambda: ask(signal(), epoch),
                "table": lambda: ask(table, epoch),
            },
            rounds,
        )
    step = statistics.median(seconds["step"])
    ways = {}
    for name in ("epoch file", "table"):
        times = [taken / len(epoch) for taken in seconds[name]]
        ways[name] = {"middle": middle(times), "share": statistics.median(times) / step}
    return {"student": STUDENT, "precision": "bf16", "images": len(labels),
            "step": middle(seconds["step"]), "ways": ways}  # fmt: skip


def ask(signal: Signal, epoch: Iterable) -> None:
    """Asks for the logits of all batches of an epoch."""
    for batch in epoch:
        signal(batch)


def exhaust(batches: Iterable) -> None:
    """Takes all there is."""
    for _ in batches:
        pass
