"""The epoch loop: one run alone, or several small ones side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from tutelage.config.canonical import derive_seed
from tutelage.config.chain import Trajectory
from tutelage.data.stream import Batch
from tutelage.data.world import World
from tutelage.models.predict import logits_of
from tutelage.store import Record, Store
from tutelage.training.fused import GROUP
from tutelage.training.fused_stepper import FusedStepper
from tutelage.training.run import Run
from tutelage.training.stepper import EagerStepper, Signal


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

    Runs of the fused stepper must be alike (see `study.cohorts`); they are trained side by side,
    and the others one after the other. `finished` is told of each run's end, by its number in
    `runs`. When `stop` answers yes after an epoch, Stopped is raised with checkpoints written.
    """
    numbers = {id(run): number for number, run in enumerate(runs)}
    fused = [run for run in runs if run.trajectory.start.stepper == "fused"]
    for run in runs:
        if run not in fused:
            _train_alone(run, stop)
            finished(numbers[id(run)], run.finish())
    for run in _train_together(fused, stop):
        finished(numbers[id(run)], run.finish())


def _train_alone(run: Run, stop: Callable[[], bool]) -> None:
    start, trainee = run.trajectory.start, run.trainee
    stepper = EagerStepper(trainee.model, trainee.optimizer, start, trainee.average)
    while not run.is_over:
        began, epoch = time.perf_counter(), trainee.epoch
        batches = run.stream.batches_per_epoch
        with torch.random.fork_rng(devices=[]):
            # For layers that draw, such as dropout: a fresh stream for every epoch.
            torch.manual_seed(derive_seed(start.stream_seed, "layers", epoch))
            stepper.begin(run.step, run.signal, updates=epoch * batches)
            figures = sum(stepper.step(batch).double() for batch in run.stream.epoch(epoch))
        assert isinstance(figures, torch.Tensor), "a stream has at least one batch"
        row = _row(run, (figures / batches).tolist())
        world = run.world
        logits = logits_of(trainee.delivered, world.validation, world.mean, world.std, start.device)
        run.end_epoch(row, logits, time.perf_counter() - began)
        _stop_if_asked([run], stop)


def _train_together(runs: Sequence[Run], stop: Callable[[], bool]) -> Iterable[Run]:
    """Trains the runs, at most GROUP at a time; gives each when it is over."""
    waiting, group = list(runs), list[Run]()
    while waiting or group:
        while waiting and len(group) < GROUP:
            group.append(waiting.pop(0))
        over = [run for run in group if run.is_over]
        if not over:
            stepper = FusedStepper([run.trainee for run in group], group[0].trajectory.start)
            try:
                while not any(run.is_over for run in group):
                    _epoch_together(stepper, group)
                    _stop_if_asked(group, stop)
            finally:
                stepper.release()
            over = [run for run in group if run.is_over]
        group = [run for run in group if not run.is_over]
        yield from over


def _epoch_together(stepper: FusedStepper, group: list[Run]) -> None:
    """One epoch of every run of the group, each at its own place in its own schedule."""
    began = time.perf_counter()
    stepper.begin([run.step for run in group], [run.signal for run in group])
    batches = group[0].stream.batches_per_epoch
    figures = sum(stepper.step(batch).double() for batch in _batches_of(group))
    assert isinstance(figures, torch.Tensor), "a stream has at least one batch"
    stepper.end(batches)
    figures = (figures / batches).tolist()
    rows = [_row(run, own) for run, own in zip(group, figures, strict=True)]
    logits = stepper.logits([run.world for run in group])
    seconds = (time.perf_counter() - began) / len(group)
    for run, row, own in zip(group, rows, logits, strict=True):
        run.end_epoch(row, own, seconds)


def _batches_of(group: list[Run]) -> Iterable[list[Batch]]:
    """The batches of the coming epoch, one for each run; runs of one stream share them."""
    epochs = [(run.stream.key, run.trainee.epoch) for run in group]
    distinct = {key: run.stream.epoch(run.trainee.epoch)
                for key, run in zip(epochs, group, strict=True)}  # fmt: skip
    for batches in zip(*distinct.values(), strict=True):
        by_key = dict(zip(distinct, batches, strict=True))
        yield [by_key[key] for key in epochs]


def _row(run: Run, figures: list[float]) -> dict[str, Any]:
    """The row of the coming epoch; its figures are means over its batches (see stepper.PARTS)."""
    loss, ce, kd, errors, agreements = figures
    percent, taught = 100.0 / run.stream.batch_size, run.signal is not None
    return {
        "lr": run.step.lr,
        "loss": loss,
        "ce": ce,
        "kd": kd if taught else None,
        "train_error": percent * errors,
        "agreement": percent * agreements if taught else None,
    }


def _stop_if_asked(runs: Sequence[Run], stop: Callable[[], bool]) -> None:
    if not stop():
        return
    going = [run for run in runs if not run.is_over]
    for run in going:
        run.save()
    if going:
        raise Stopped
