"""How fast this machine trains: a few real steps of each network, timed once and kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from tutelage.config.canonical import canonical, digest
from tutelage.config.chain import FUSED_GROUP, EpochStep, Start
from tutelage.data.stream import Batch
from tutelage.models.build import Shape, build_model
from tutelage.models.predict import EVALUATED
from tutelage.provenance import machine, versions
from tutelage.store import Store, atomic_write, read_if_there
from tutelage.study.process import keep_memory
from tutelage.training.fused_stepper import FusedStepper
from tutelage.training.optimizer import build_optimizer
from tutelage.training.stepper import EagerStepper
from tutelage.training.trainee import Trainee

_SECONDS = 0.25  # for which steps are timed, after one that is not
_DISTIL = EpochStep(1e-3, 0.1, 0.9, canonical({"kd": {"temperature": 4.0}}), "teacher")


@dataclass(frozen=True)
class Pace:
    """Seconds of one core: of a training step, and of evaluating one image.

    A step of the fused stepper is that of FUSED_GROUP networks.
    """

    step: float
    image: float


class Paces:
    """The paces of this machine, kept in a store's cache and measured where they are missing."""

    def __init__(self, store: Store) -> None:
        # What another machine, or another version, has measured does not count here.
        self._path: Path = store.cache_file("pace", f"{digest([machine(), versions()])[:16]}.json")
        try:
            self._known = json.loads(read_if_there(self._path) or b"{}")
        except ValueError:
            self._known = {}

    def of(self, start: Start, shape: Shape, classes: int) -> Pace:
        """The pace of runs that begin like `start`, on images of `shape` (H, W, C)."""
        parts = [start.model, shape, classes, start.batch_size, start.stepper, start.precision]
        key = digest([*parts, start.device, type(start.optimizer).__name__])
        if key not in self._known:
            pace = _measure(start, shape, classes)
            self._known[key] = asdict(pace)
            atomic_write(self._path, json.dumps(self._known, indent=1).encode())
        return Pace(**self._known[key])


def _measure(start: Start, shape: Shape, classes: int) -> Pace:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as workers have it, and the next line too
    keep_memory()
    try:
        count = FUSED_GROUP if start.stepper == "fused" else 1
        trainees = [_trainee(start, shape, classes) for _ in range(count)]
        batch = _batch(start, shape, classes)
        logits = torch.randn(start.batch_size, classes, device=start.device)
        if start.stepper == "fused":
            fused = FusedStepper(trainees, start)
            fused.begin([_DISTIL] * count, [lambda _: logits] * count)
            step = _seconds(lambda: fused.step([batch] * count), start.device)
            fused.release()
        else:
            eager = EagerStepper(trainees[0].model, trainees[0].optimizer, start)
            eager.begin(_DISTIL, lambda _: logits)
            step = _seconds(lambda: eager.step(batch), start.device)
        model = trainees[0].model.eval()
        images = batch.images[:1].expand(EVALUATED, -1, -1, -1)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            forward = _seconds(lambda: model(images), start.device)
        return Pace(step, forward / EVALUATED)
    finally:
        torch.set_num_threads(threads)


def _trainee(start: Start, shape: Shape, classes: int) -> Trainee:
    model = build_model(start.model, shape, classes, 0).to(start.device)
    return Trainee(model, build_optimizer(start.optimizer, model.parameters()))


def _batch(start: Start, shape: Shape, classes: int) -> Batch:
    height, width, channels = shape
    index = torch.arange(start.batch_size, device=start.device)
    images = torch.randn(start.batch_size, height, width, channels, device=start.device)
    return Batch(
        index=index, view=index, pixels=images, images=images.permute(0, 3, 1, 2),
        labels=index % classes,
    )  # fmt: skip


def _seconds(do: Callable[[], object], device: str) -> float:
    """The median of the times that `do` takes; the first time does not count."""

    def timed() -> float:
        # What other processes take of the core meanwhile is not this one's; a GPU has one clock.
        clock = time.perf_counter if device.startswith("cuda") else time.process_time
        began = clock()
        do()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return clock() - began

    timed()
    times = [timed()]
    while sum(times) < _SECONDS:
        times.append(timed())
    return sorted(times)[len(times) // 2]
