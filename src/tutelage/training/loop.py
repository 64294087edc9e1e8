"""The epoch loop: one run alone, or several small ones side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.config.canonical import derive_seed
from tutelage.config.chain import Trajectory
from tutelage.data.stream import Batch
from tutelage.data.world import World
from tutelage.models.predict import logits_of
from tutelage.store import Record, Store
from tutelage.training.fused import GROUP
from tutelage.training.fused_stepper import FusedStepper
from tutelage.training.graphed import GraphedStepper
from tutelage.training.run import Run
from tutelage.training.stepper import EagerStepper, Signal
from tutelage.training.stopping import measures_gradients


class Stopped(Exception):
    """Training was asked to stop; checkpoints of the last finished epochs are in the store."""


def never() -> bool:
    """The answer of whoever never asks a training to stop."""
    return False


def train_run(
    store: Store,
    trajectory: Trajectory,
    world: World,
    signals: Mapping[str, Signal],
    *,
    stop: Callable[[], bool] = never,
    **options: Any,
) -> Record:
    """Train one run to its end and return its record; `options` are those of `Run`."""
    run, records = Run(store, trajectory, world, signals, **options), list[Record]()
    train([run], stop=stop, finished=lambda _, record: records.append(record))
    return records[0]


def train(
    runs: Sequence[Run],
    *,
    stop: Callable[[], bool] = never,
    finished: Callable[[int, Record], None] = lambda number, record: None,
) -> None:
    """Train all `runs` to their ends, and write their records.

    Runs of the fused stepper must be alike (see `Plan.cohort`), and so must those of the graphed
    one; those with equally many batches an epoch are trained side by side, and the others one after
    the other. `finished` is told of each run's end, by its number in `runs`. When `stop` answers
    yes after an epoch, Stopped is raised with checkpoints written.
    """
    numbers = {id(run): number for number, run in enumerate(runs)}
    together = {"fused": _fused, "graphed": _graphed}
    for run in runs:
        if run.trajectory.start.stepper not in together:
            _train_alone(run, stop)
            finished(numbers[id(run)], run.finish())
    for stepper, opened in together.items():
        # By batches and labels in them: parts of the images differ by one image.
        alike: dict[tuple[int, int], list[Run]] = {}
        for run in runs:
            if run.trajectory.start.stepper == stepper:
                even = run.stream.batches_per_epoch, run.stream.labelled
                alike.setdefault(even, []).append(run)
        for group in alike.values():
            for run in _train_together(group, stop, opened):
                finished(numbers[id(run)], run.finish())


def _train_alone(run: Run, stop: Callable[[], bool]) -> None:
    start, trainee = run.trajectory.start, run.trainee
    stepper = EagerStepper(trainee.model, trainee.optimizer, start, trainee.average, trainee.losses)
    while not run.is_over:
        began, epoch = time.perf_counter(), trainee.epoch
        batches = run.stream.batches_per_epoch
        with torch.random.fork_rng(devices=[]):
            # For layers that draw, such as dropout: a fresh stream for every epoch.
            torch.manual_seed(derive_seed(start.stream_seed, "layers", epoch))
            stepper.begin(run.step, run.signal, updates=epoch * batches)
            figures = sum(stepper.step(batch).double() for batch in run.stream.epoch(epoch))
            if trainee.average is not None:
                images = (batch.images for batch in run.stream.epoch(epoch))
                trainee.average.settle((epoch + 1) * batches, images)
        assert isinstance(figures, torch.Tensor), "a stream has at least one batch"
        row = _row(run, (figures / batches).tolist())
        run.end_epoch(row, _validated(run), time.perf_counter() - began)
        _stop_if_asked([run], stop)


_Opened = Callable[[list[Run]], AbstractContextManager[Callable[[], None]]]
"""What trains a group, while it is open: each call is an epoch of all its runs."""


def _train_together(
    runs: Sequence[Run], stop: Callable[[], bool], opened: _Opened
) -> Iterable[Run]:
    """Trains the runs, at most GROUP at a time; gives each when it is over."""
    waiting, group = list(runs), list[Run]()
    while waiting or group:
        while waiting and len(group) < GROUP:
            group.append(waiting.pop(0))
        over = [run for run in group if run.is_over]
        if not over:
            with opened(group) as train_epoch:
                while not any(run.is_over for run in group):
                    train_epoch()
                    _stop_if_asked(group, stop)
            over = [run for run in group if run.is_over]
        group = [run for run in group if not run.is_over]
        yield from over


@contextmanager
def _fused(group: list[Run]) -> Iterator[Callable[[], None]]:
    stepper = FusedStepper([run.trainee for run in group], group[0].trajectory.start)
    try:
        yield partial(_epoch_fused, stepper, group)
    finally:
        stepper.release()


@contextmanager
def _graphed(group: list[Run]) -> Iterator[Callable[[], None]]:
    steppers = [
        GraphedStepper(run.trainee.model, run.trainee.optimizer, run.trajectory.start)
        for run in group
    ]
    yield partial(_epoch_graphed, steppers, group)


def _epoch_fused(stepper: FusedStepper, group: list[Run]) -> None:
    """One epoch of every run of the group, each at its own place in its own schedule."""
    began = time.perf_counter()
    stepper.begin([run.step for run in group], _signals_of(group))
    batches = group[0].stream.batches_per_epoch
    figures = sum(stepper.step(batch).double() for batch in _batches_of(group))
    assert isinstance(figures, Tensor), "a stream has at least one batch"
    stepper.end(batches)
    _end_epoch(group, figures, stepper.logits([run.world for run in group]), began)


def _epoch_graphed(steppers: list[GraphedStepper], group: list[Run]) -> None:
    """One epoch of every run of the group; the device is waited for at its end alone."""
    began = time.perf_counter()
    for stepper, run, signal in zip(steppers, group, _signals_of(group), strict=True):
        stepper.begin(run.step, signal)
    for batches in _batches_of(group):
        for stepper, batch in zip(steppers, batches, strict=True):
            stepper.step(batch)
    figures = torch.stack([stepper.figures() for stepper in steppers])
    _end_epoch(group, figures, [_validated(run) for run in group], began)


def _end_epoch(
    group: list[Run], figures: Tensor, logits: Sequence[np.ndarray], began: float
) -> None:
    """Hands each run its figures, of sums [runs, 5] over the batches, and its logits."""
    means = (figures / group[0].stream.batches_per_epoch).tolist()
    rows = [_row(run, own) for run, own in zip(group, means, strict=True)]
    seconds = (time.perf_counter() - began) / len(group)
    for run, row, own in zip(group, rows, logits, strict=True):
        run.end_epoch(row, own, seconds)


class _Once:
    """A signal that many hear: of one batch, its teacher is asked once."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._heard: tuple[Batch, Tensor] | None = None

    def __call__(self, batch: Batch) -> Tensor:
        if self._heard is None or self._heard[0] is not batch:
            self._heard = (batch, self._signal(batch))
        return self._heard[1]


def _signals_of(group: list[Run]) -> list[Signal | None]:
    """The teachers of the coming epoch; runs that hear one teacher on one stream share it."""
    known: dict[object, Signal] = {}
    signals = list[Signal | None]()
    for run in group:
        signal, heard = run.signal, (run.stream.key, run.trainee.epoch, run.step.teacher)
        signals.append(known.setdefault(heard, _Once(signal)) if signal is not None else None)
    return signals


def _batches_of(group: list[Run]) -> Iterable[list[Batch]]:
    """The batches of the coming epoch, one for each run; runs of one stream share them."""
    epochs = [(run.stream.key, run.trainee.epoch) for run in group]
    distinct = {key: run.stream.epoch(run.trainee.epoch)
                for key, run in zip(epochs, group, strict=True)}  # fmt: skip
    for batches in zip(*distinct.values(), strict=True):
        by_key = dict(zip(distinct, batches, strict=True))
        yield [by_key[key] for key in epochs]


def _validated(run: Run) -> np.ndarray:
    """The logits [N, classes] of a run's network on its validation images."""
    world, device = run.world, run.trajectory.start.device
    return logits_of(run.trainee.delivered, world.validation, world.mean, world.std, device)


def _row(run: Run, figures: list[float]) -> dict[str, Any]:
    """The row of the coming epoch; its figures are means over its batches (see stepper.PARTS)."""
    loss, ce, kd, errors, agreements, *more = figures
    percent, taught = 100.0 / run.stream.batch_size, run.signal is not None
    of_labels = 100.0 / run.stream.labelled
    names = [*run.step.feature_losses]
    names += ["gradient_cosine"] if measures_gradients(run.step) else []
    return {
        "lr": run.step.lr,
        "loss": loss,
        "ce": ce,
        "kd": kd if taught else None,
        "train_error": of_labels * errors,
        "agreement": percent * agreements if taught else None,
        **dict(zip(names, more, strict=False)),  # a fused group has more where any of it does
    }


def _stop_if_asked(runs: Sequence[Run], stop: Callable[[], bool]) -> None:
    if not stop():
        return
    going = [run for run in runs if not run.is_over]
    for run in going:
        run.save()
    if going:
        raise Stopped
