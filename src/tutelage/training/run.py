"""Training with memory: resume from the longest known prefix, keep states, write the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from tutelage.config.chain import Start, Trajectory
from tutelage.data.mixing import Mixer
from tutelage.data.stream import Stream
from tutelage.data.views import parse_views
from tutelage.data.world import World
from tutelage.models.build import build_model
from tutelage.provenance import provenance
from tutelage.store import Record, Store
from tutelage.training.average import WeightAverage
from tutelage.training.loop import train_epochs
from tutelage.training.optimizer import build_optimizer
from tutelage.training.stepper import Signal
from tutelage.training.trainee import Trainee, weights_of

CHECKPOINT_SECONDS = 15.0


class Stopped(Exception):
    """Training was asked to stop; a checkpoint of the last finished epoch is in the store."""


def never() -> bool:
    """The answer of whoever never asks a training to stop."""
    return False


def train_run(
    store: Store,
    trajectory: Trajectory,
    world: World,
    signals: Mapping[str, Signal],
    *,
    keep: Collection[int] = (),
    branches: Collection[int] = (),
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    stop: Callable[[], bool] = never,
) -> Record:
    """Train `trajectory` to its end and return its run record.

    Starts from the longest prefix whose checkpoint is in the store. The weights after each epoch
    of `keep` become `state` records; after each of `branches` a checkpoint stays behind for other
    runs that share the prefix. Every `checkpoint_seconds` a checkpoint is written. When `stop`
    answers yes after an epoch, Stopped is raised with the checkpoint written.
    """
    start = trajectory.start
    model = build_model(start.model, world.shape, world.classes, start.init_seed)
    model.to(start.device)
    average = WeightAverage(model, start.ema) if start.ema else None
    trainee = Trainee(model, build_optimizer(start.optimizer, model.parameters()), average)
    ids = trajectory.state_ids
    wanted = {epoch for epoch in keep if epoch < len(ids) - 1}
    missing = [e for e in wanted if not store.has("state", ids[e])]
    began_at = _resume(store, trajectory, trainee, limit=min(missing, default=len(ids) - 1))
    if trainee.epoch in missing:
        _put_state(store, trajectory, trainee)
    clock = time.monotonic()
    periodic: str | None = None

    def after_epoch(trainee: Trainee) -> None:
        nonlocal clock, periodic
        epoch = trainee.epoch
        if epoch in wanted:
            _put_state(store, trajectory, trainee)
        stopping = stop() and epoch < len(ids) - 1
        due = time.monotonic() - clock >= checkpoint_seconds and epoch < len(ids) - 1
        if not (due or stopping or epoch in branches):
            return
        store.put_checkpoint(ids[epoch], trainee.arrays(), trainee.meta(trajectory.id))
        if periodic is not None:
            store.drop_checkpoint(periodic)
        clock, periodic = time.monotonic(), None if epoch in branches else ids[epoch]
        if stopping:
            raise Stopped

    stream = Stream(
        world.train, parse_views(start.views), start.batch_size, start.stream_seed,
        world.mean, world.std, start.device, _mixer(start),
    )  # fmt: skip
    train_epochs(trainee, trajectory, world, stream, signals, len(ids) - 1, after_epoch)
    record = _run_record(store, trajectory, trainee, began_at, stream)
    store.put(record)
    for epoch, state_id in enumerate(ids):
        if epoch not in branches:
            store.drop_checkpoint(state_id)
    return record


def _mixer(start: Start) -> Mixer | None:
    return Mixer(start.mixup, start.cutmix) if start.mixup or start.cutmix else None


def _resume(store: Store, trajectory: Trajectory, trainee: Trainee, limit: int) -> int:
    """Restores the longest stored prefix of at most `limit` epochs; returns its length."""
    for epoch in range(limit, 0, -1):
        found = store.get_checkpoint(trajectory.state_ids[epoch])
        if found is not None:
            trainee.restore(*found, run=trajectory.id)
            return epoch
    return 0


def _put_state(store: Store, trajectory: Trajectory, trainee: Trainee) -> str:
    digest = store.put_arrays(weights_of(trainee.delivered))
    result = {"epoch": trainee.epoch, "blobs": {"weights": digest}}
    state_id = trajectory.state_ids[trainee.epoch]
    store.put(Record("state", state_id, result, provenance(trajectory.start.device), {}))
    return digest


def _run_record(
    store: Store, trajectory: Trajectory, trainee: Trainee, began_at: int, stream: Stream
) -> Record:
    status = "diverged" if trainee.diverged else "done"
    blobs = {}
    if not trainee.diverged:
        blobs = {
            "final": _put_state(store, trajectory, trainee),
            "best": store.put_arrays(trainee.best_weights),
        }
    images = stream.batches_per_epoch * trajectory.start.batch_size
    attributed = sum(trainee.seconds)
    result = {
        "status": status,
        "start": trajectory.start.form(),
        "epochs": trainee.epoch,
        "best_epoch": trainee.best_epoch,
        "history": trainee.history,
        "blobs": blobs,
    }
    timing = {
        "attributed_s": attributed,
        "spent_s": sum(trainee.seconds[trainee.inherited :]),
        "resumed_at": began_at,
        "images_per_s": images * len(trainee.seconds) / attributed if attributed else None,
        "epoch_s": trainee.seconds,
    }
    return Record("run", trajectory.id, result, provenance(trajectory.start.device), timing)
