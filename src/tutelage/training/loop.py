"""The epoch loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from tutelage.config.canonical import derive_seed
from tutelage.config.chain import EpochStep, Trajectory
from tutelage.data.stream import Stream
from tutelage.data.world import World
from tutelage.models.predict import logits_of
from tutelage.training.stepper import EagerStepper, Signal
from tutelage.training.trainee import Trainee


def train_epochs(
    trainee: Trainee,
    trajectory: Trajectory,
    world: World,
    stream: Stream,
    signals: Mapping[str, Signal],
    until: int,
    after_epoch: Callable[[Trainee], None],
) -> None:
    """Trains from the trainee's epoch to `until`, or to its divergence.

    `signals` holds the teacher of every epoch that distils, by the identity that the trajectory
    names. An epoch is a pure function of the state before it and of its description, so that
    training may be left and taken up again after any of them.
    """
    start = trajectory.start
    stepper = EagerStepper(trainee.model, trainee.optimizer, start, trainee.average)
    while trainee.epoch < until and not trainee.diverged:
        step = trajectory.epochs[trainee.epoch]
        began = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            # For layers that draw, such as dropout: a fresh stream for every epoch.
            torch.manual_seed(derive_seed(start.stream_seed, "layers", trainee.epoch))
            row = _epoch(stepper, step, stream, trainee.epoch, signals)
        if not math.isfinite(row["loss"]):
            trainee.diverged = True
            return
        logits = logits_of(trainee.delivered, world.validation, world.mean, world.std, start.device)
        if not np.isfinite(logits).all():  # the last update of the epoch was one too many
            trainee.diverged = True
            return
        row["val_error"] = 100.0 * float(np.mean(logits.argmax(1) != world.validation.labels))
        trainee.note(row, time.perf_counter() - began)
        after_epoch(trainee)


def _epoch(
    stepper: EagerStepper,
    step: EpochStep,
    stream: Stream,
    epoch: int,
    signals: Mapping[str, Signal],
) -> dict[str, Any]:
    """One pass over the stream; the row of its figures, means over the batches."""
    # A teacher that is not heard any more is not asked any more.
    signal = signals[step.teacher] if step.distils and step.teacher else None
    stepper.begin(step, signal, updates=epoch * stream.batches_per_epoch)
    total = sum(stepper.step(batch).double() for batch in stream.epoch(epoch))
    assert isinstance(total, torch.Tensor), "a stream has at least one batch"
    loss, ce, kd, errors, agreements = (total / stream.batches_per_epoch).tolist()
    percent = 100.0 / stream.batch_size
    return {
        "lr": step.lr,
        "loss": loss,
        "ce": ce,
        "kd": kd if signal else None,
        "train_error": percent * errors,
        "agreement": percent * agreements if signal else None,
    }
