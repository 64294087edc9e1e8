"""A network in training: its weights, its optimizer, its history, and the best state so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tutelage.models.adapted import inner
from tutelage.training.average import WeightAverage
from tutelage.training.optimizer import load_optimizer_arrays, optimizer_arrays

if TYPE_CHECKING:
    from tutelage.training.feature_losses import FeatureLosses

Arrays = dict[str, np.ndarray]


def weights_of(model: nn.Module) -> Arrays:
    """Parameters and buffers as contiguous arrays on the CPU, by name."""
    return {
        name: np.ascontiguousarray(value.detach().cpu().numpy())
        for name, value in inner(model).state_dict().items()
    }


def load_weights(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """The inverse of `weights_of`; names and shapes must match exactly."""
    inner(model).load_state_dict(
        {name: torch.from_numpy(np.array(a)) for name, a in arrays.items()}
    )


@dataclass
class Trainee:
    """What training changes. `arrays` and `restore` carry all of it through a checkpoint.

    `history` has one row an epoch; `seconds` the time of each; the first `inherited` epochs were
    trained by another run that shares them. `best_epoch` counts from 1; 0 means none yet.
    With an `average`, that is what is evaluated and kept; `model` is what is trained. `losses` hold
    what losses of features train beside it, and remember.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None = None
    losses: FeatureLosses | None = None
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    inherited: int = 0
    best_epoch: int = 0
    best_weights: Arrays = field(default_factory=dict)
    diverged: bool = False

    @property
    def delivered(self) -> nn.Module:
        """The network that is evaluated and kept."""
        return self.model if self.average is None else self.average.model

    def note(self, row: dict[str, Any], seconds: float) -> None:
        """Adds the row of a finished epoch; the earliest of equally good epochs stays the best."""
        self.epoch += 1
        self.history.append({"epoch": self.epoch, **row})
        self.seconds.append(seconds)
        best = self.history[self.best_epoch - 1]["val_error"] if self.best_epoch else None
        if best is None or row["val_error"] < best:
            self.best_epoch = self.epoch
            self.best_weights = {k: v.copy() for k, v in weights_of(self.delivered).items()}

    def arrays(self) -> Arrays:
        """The complete state as named arrays."""
        average = weights_of(self.average.model) if self.average else {}
        losses = self.losses.arrays() if self.losses is not None else {}
        return {
            **{f"average/{name}": value for name, value in average.items()},
            **{f"model/{name}": value for name, value in weights_of(self.model).items()},
            **{f"best/{name}": value for name, value in self.best_weights.items()},
            **{f"optimizer/{n}": value for n, value in optimizer_arrays(self.optimizer).items()},
            **{f"loss/{name}": value for name, value in losses.items()},
        }

    def meta(self, run: str) -> dict[str, Any]:
        """What a checkpoint holds beside arrays; `run` is the id of the run that writes it."""
        return {
            "run": run,
            "epoch": self.epoch,
            "history": self.history,
            "seconds": self.seconds,
            "inherited": self.inherited,
            "best_epoch": self.best_epoch,
        }

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], run: str) -> None:
        """Continues from a checkpoint, written by this run or by one that shares its prefix."""
        names = ("model", "average", "best", "optimizer", "loss")
        parts: dict[str, Arrays] = {name: {} for name in names}
        for key, value in arrays.items():
            part, name = key.split("/", 1)
            parts[part][name] = value
        load_weights(self.model, parts["model"])
        if self.average is not None:
            load_weights(self.average.model, parts["average"])
        load_optimizer_arrays(self.optimizer, parts["optimizer"])
        if self.losses is not None:
            self.losses.restore(parts["loss"])
        self.best_weights = parts["best"]
        self.epoch, self.best_epoch = meta["epoch"], meta["best_epoch"]
        self.history, self.seconds = list(meta["history"]), list(meta["seconds"])
        self.inherited = meta["inherited"] if meta["run"] == run else self.epoch
