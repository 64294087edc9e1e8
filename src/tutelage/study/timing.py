"""A few real steps of a network, timed. Run as `python -m tutelage.study.timing STORE STUDY`, it
times what a study needs and is not known yet, so that its cost can be told while it trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

from tutelage.config.canonical import canonical
from tutelage.config.chain import FUSED_GROUP, EpochStep, Start
from tutelage.data.stream import Batch
from tutelage.models.build import Shape, build_model
from tutelage.models.predict import EVALUATED
from tutelage.store import Store
from tutelage.study.context import Context
from tutelage.study.cost import predict
from tutelage.study.pace import Pace
from tutelage.study.process import keep_memory
from tutelage.training.fused_stepper import FusedStepper
from tutelage.training.optimizer import build_optimizer
from tutelage.training.stepper import EagerStepper
from tutelage.training.trainee import Trainee

_SECONDS = 0.25  # for which steps are timed, after one that is not
_DISTIL = EpochStep(1e-3, 0.1, 0.9, canonical({"kd": {"temperature": 4.0}}), "teacher")


def timed(start: Start, shape: Shape, classes: int) -> Pace:
    """The pace of runs that begin like `start`, on images of `shape` (H, W, C), measured now."""
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

    def once() -> float:
        # What other processes take of the core meanwhile is not this one's; a GPU has one clock.
        clock = time.perf_counter if device.startswith("cuda") else time.process_time
        began = clock()
        do()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return clock() - began

    once()
    times = [once()]
    while sum(times) < _SECONDS:
        times.append(once())
    return sorted(times)[len(times) // 2]


if __name__ == "__main__":
    predict(Context.open(Store.open(sys.argv[1], create=False), sys.argv[2]))
