"""A run with memory: resumed from the longest known prefix, its states kept, its record written."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from torch import nn

from tutelage.config.chain import EpochStep, Start, Trajectory
from tutelage.config.schema_model import read_model
from tutelage.data.mixing import Mixer
from tutelage.data.stream import Stream
from tutelage.data.views import parse_views
from tutelage.data.world import World
from tutelage.errors import UserError
from tutelage.models.adapted import follow, inner
from tutelage.models.build import build_model
from tutelage.models.weights import load_some
from tutelage.provenance import provenance
from tutelage.store import Record, Store
from tutelage.training.average import WeightAverage
from tutelage.training.feature_losses import FeatureLosses
from tutelage.training.optimizer import build_optimizer
from tutelage.training.stepper import Signal
from tutelage.training.stopping import coming_step, taught_epochs
from tutelage.training.trainee import Trainee, weights_of

CHECKPOINT_SECONDS = 15.0


class Run:
    """One run in training: begun, or continued from a checkpoint, until its record is written.

    Whoever trains it asks for `step`, `signal` and the batches of `stream`, and hands the figures
    of each epoch to `end_epoch`. An epoch is a pure function of the state before it and of its
    description, so that training may be left and taken up again after any of them.

    `signals` holds the teacher of every epoch that distils, by the identity that the trajectory
    names. The weights after each epoch of `keep` become `state` records; after each of `branches`
    a checkpoint stays behind for other runs that share the prefix. Every `checkpoint_seconds` a
    checkpoint is written.
    """

    def __init__(
        self,
        store: Store,
        trajectory: Trajectory,
        world: World,
        signals: Mapping[str, Signal],
        *,
        keep: Collection[int] = (),
        branches: Collection[int] = (),
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        start = trajectory.start
        self.store, self.trajectory, self.world, self.signals = store, trajectory, world, signals
        self.stream = make_stream(start, world)
        model = _begun(store, start, world).to(start.device)
        average = None
        if start.ema or start.swa:
            since = start.swa * self.stream.batches_per_epoch if start.swa else None
            average = WeightAverage(model, start.ema, since)
        graphed = start.stepper == "graphed"
        optimizer = build_optimizer(start.optimizer, model.parameters(), graphed=graphed)
        self.trainee = Trainee(model, optimizer, average, FeatureLosses(start, world.train.labels))
        self._epochs, self._branches = len(trajectory.epochs), branches
        self._keep = {epoch for epoch in keep if epoch < self._epochs}
        self._checkpoint_seconds, self._clock = checkpoint_seconds, time.monotonic()
        self._periodic: str | None = None
        self._coming: tuple[int, EpochStep] | None = None
        ids = trajectory.state_ids
        missing = [epoch for epoch in self._keep if not store.has("state", ids[epoch])]
        self.began_at = self._resume(limit=min(missing, default=self._epochs))
        if self.began_at in missing:
            self._put_state()

    @property
    def is_over(self) -> bool:
        """Whether its last epoch is done, or it diverged."""
        return self.trainee.diverged or self.trainee.epoch == self._epochs

    @property
    def step(self) -> EpochStep:
        """What the coming epoch does."""
        if self._coming is None or self._coming[0] != self.trainee.epoch:
            step = coming_step(self.trajectory.epochs, self.trainee.history)
            self._coming = (self.trainee.epoch, step)
        return self._coming[1]

    @property
    def signal(self) -> Signal | None:
        """The teacher of the coming epoch. One that is not heard any more is not asked any more."""
        step = self.step
        return self.signals[step.teacher] if step.distils and step.teacher else None

    def end_epoch(self, row: dict[str, Any], logits: np.ndarray, seconds: float) -> None:
        """Takes note of an epoch: the row of its figures, and the logits [N, classes] of the
        validation images after it. A loss or logits that are not finite end the run."""
        if not math.isfinite(row["loss"]) or not np.isfinite(logits).all():
            self.trainee.diverged = True
            return
        wrong = np.mean(logits.argmax(1) != self.world.validation.labels)
        self.trainee.note(row | {"val_error": 100.0 * float(wrong)}, seconds)
        epoch = self.trainee.epoch
        if epoch in self._keep:
            self._put_state()
        due = time.monotonic() - self._clock >= self._checkpoint_seconds
        if epoch in self._branches or (due and not self.is_over):
            self.save()

    def save(self) -> None:
        """Writes a checkpoint of the last finished epoch, in place of the one before."""
        trainee, state_id = self.trainee, self.trajectory.state_ids[self.trainee.epoch]
        self.store.put_checkpoint(state_id, trainee.arrays(), trainee.meta(self.trajectory.id))
        if self._periodic is not None:
            self.store.drop_checkpoint(self._periodic)
        self._clock = time.monotonic()
        self._periodic = None if trainee.epoch in self._branches else state_id

    def finish(self) -> Record:
        """Writes the record of the run, which is over, and removes its checkpoints."""
        record = self._record()
        self.store.put(record)
        for epoch, state_id in enumerate(self.trajectory.state_ids):
            if epoch not in self._branches:
                self.store.drop_checkpoint(state_id)
        return record

    def _resume(self, limit: int) -> int:
        """Restores the longest stored prefix of at most `limit` epochs; returns its length."""
        for epoch in range(limit, 0, -1):
            found = self.store.get_checkpoint(self.trajectory.state_ids[epoch])
            if found is not None:
                self.trainee.restore(*found, run=self.trajectory.id)
                return epoch
        return 0

    def _put_state(self) -> str:
        digest = self.store.put_arrays(weights_of(self.trainee.delivered))
        result = {"epoch": self.trainee.epoch, "blobs": {"weights": digest}}
        state_id = self.trajectory.state_ids[self.trainee.epoch]
        device = self.trajectory.start.device
        self.store.put(Record("state", state_id, result, provenance(device), {}))
        return digest

    def _record(self) -> Record:
        trainee, start = self.trainee, self.trajectory.start
        blobs = {}
        if not trainee.diverged:
            final = self._put_state()
            trained = bool(trainee.history)
            best = self.store.put_arrays(trainee.best_weights) if trained else final
            blobs = {"final": final, "best": best}
        images = self.stream.batches_per_epoch * start.batch_size
        attributed = sum(trainee.seconds)
        taught = taught_epochs(self.trajectory.epochs, trainee.history)
        result = {
            "status": "diverged" if trainee.diverged else "done",
            "start": start.form(),
            "epochs": trainee.epoch,
            "best_epoch": trainee.best_epoch,
            **({} if taught is None else {"taught_epochs": taught}),
            "history": trainee.history,
            "blobs": blobs,
        }
        timing = {
            "attributed_s": attributed,
            "spent_s": sum(trainee.seconds[trainee.inherited :]),
            "resumed_at": self.began_at,
            "images_per_s": images * len(trainee.seconds) / attributed if attributed else None,
            "epoch_s": trainee.seconds,
        }
        return Record("run", self.trajectory.id, result, provenance(start.device), timing)


def _begun(store: Store, start: Start, world: World) -> nn.Module:
    """The network before its first epoch. Raises UserError where weights from outside that it
    starts from are not in the store any more."""
    model = build_model(start.model, world.shape, world.classes, start.init_seed)
    weights = read_model(start.model).weights
    if weights is not None:
        arrays = store.get_arrays(weights)
        if arrays is None:
            what = f"the weights {weights[:12]} that it starts from are missing or damaged."
            raise UserError(what, where=str(store.root), fix="Run the study again.")
        load_some(inner(model), arrays)
    follow(model, world.mean, world.std)
    return model


def make_stream(start: Start, world: World) -> Stream:
    """The stream of batches that a training sees."""
    mixer = Mixer(start.mixup, start.cutmix) if start.mixup or start.cutmix else None
    return Stream(
        world.train, parse_views(start.views), start.batch_size, start.stream_seed,
        world.mean, world.std, start.device, mixer,
    )  # fmt: skip
