"""The losses of features of one run, with what they train and remember beside the student."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.config.canonical import derive_seed
from tutelage.config.chain import Start
from tutelage.config.schema_losses import FEATURE_METHODS
from tutelage.data.stream import Batch
from tutelage.losses import CRD, FitNets, at, rkd, sp
from tutelage.models.features import Features, usual_paths
from tutelage.training.optimizer import (
    build_optimizer,
    load_optimizer_arrays,
    optimizer_arrays,
    set_rate,
)
from tutelage.training.trainee import Arrays, load_weights, weights_of

_TRAINED = ("fitnets", "crd")
_MODULE, _OPTIMIZER = "module", "optimizer"


@dataclass(frozen=True)
class _Trained:
    """A loss that is trained itself, and its optimizer: the student's, with memories of its own."""

    module: nn.Module
    optimizer: torch.optim.Optimizer


class FeatureLosses:
    """What the epochs of one run compare between student and teacher.

    A loss that has weights or a memory is built when its first step needs it, from a seed that is
    derived from that of the student's weights: neither the student nor another loss is the other
    for it. From then on `arrays` hold it, and `restore` gives it back. Epochs that do not name it
    leave it as it is, weight decay included. None of it is part of the student.

    `labels` [N] are those of the training images, for losses that contrast classes.
    """

    def __init__(self, start: Start, labels: np.ndarray | None = None) -> None:
        self._start, self._labels = start, labels
        self._trained: dict[str, _Trained] = {}
        self._stored: Arrays = {}  # what was restored and is not built again yet
        self._options: dict[str, dict[str, Any]] = {}

    def begin(self, form: str | None, model: nn.Module, rate: float) -> None:
        """Sets what the coming epoch compares, in canonical form (None: nothing), between `model`
        and its teacher, and the learning rate."""
        self._options = json.loads(form) if form is not None else {}
        self._model, self._rate = model, rate
        self._paths = {
            name: tuple(options.get("student") or usual_paths(model, FEATURE_METHODS[name].reads))
            for name, options in self._options.items()
        }
        self._read = tuple(dict.fromkeys(chain.from_iterable(self._paths.values())))
        for trained in self._active():
            trained.module.train()
            set_rate(trained.optimizer, rate)

    @property
    def are_any(self) -> bool:
        """Whether this epoch compares anything."""
        return bool(self._options)

    def reader(self) -> Features:
        """Reads the student's features; it is closed after each step, so that an evaluation between
        steps keeps nothing."""
        return Features(self._model, self._read)

    def compare(
        self, shown: Sequence[Tensor], teacher: Mapping[str, Sequence[Tensor]], batch: Batch
    ) -> list[tuple[float, Tensor]]:
        """The weight and the value of each loss, in the order of the epoch's form. `shown` is what
        the reader took of `batch`, `teacher` what the teacher showed, by loss."""
        by_path = dict(zip(self._read, shown, strict=True))
        losses = []
        for name, options in self._options.items():
            ours, theirs = [by_path[path] for path in self._paths[name]], teacher[name]
            losses.append((options["weight"], self._loss(name, options, ours, theirs, batch)))
        return losses

    def parameters(self) -> Iterator[nn.Parameter]:
        """What this epoch's losses train."""
        for trained in self._active():
            yield from trained.module.parameters()

    def zero_grad(self) -> None:
        """Forgets the gradients of this epoch's losses."""
        for trained in self._active():
            trained.optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Updates what this epoch's losses train."""
        for trained in self._active():
            trained.optimizer.step()

    def arrays(self) -> Arrays:
        """All that is trained or remembered, as named arrays."""
        arrays = dict(self._stored)
        for name, trained in self._trained.items():
            parts = {
                _MODULE: weights_of(trained.module),
                _OPTIMIZER: optimizer_arrays(trained.optimizer),
            }
            for part, values in parts.items():
                arrays |= {f"{name}/{part}/{key}": value for key, value in values.items()}
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The inverse of `arrays`."""
        self._trained.clear()
        self._stored = dict(arrays)

    def _active(self) -> list[_Trained]:
        return [trained for name, trained in self._trained.items() if name in self._options]

    def _loss(
        self, name: str, options: dict[str, Any], ours: Sequence[Tensor], theirs: Sequence[Tensor],
        batch: Batch,
    ) -> Tensor:  # fmt: skip
        if name == "at":
            return at(ours, theirs)
        if name in _TRAINED and name not in self._trained:
            self._trained[name] = self._built(name, options, ours, theirs)
        pairs = list(zip(ours, theirs, strict=True))
        if name == "sp":
            losses = [sp(*pair) for pair in pairs]
        elif name == "rkd":
            weights = options["distance_weight"], options["angle_weight"]
            losses = [rkd(*pair, *weights) for pair in pairs]
        elif name == "fitnets":
            modules = self._trained[name].module.children()
            losses = [module(*pair) for module, pair in zip(modules, pairs, strict=True)]
        else:
            losses = [self._contrasted(*pair, batch) for pair in pairs]
        return torch.stack(losses).sum()

    def _contrasted(self, ours: Tensor, theirs: Tensor, batch: Batch) -> Tensor:
        crd = self._trained["crd"].module
        assert isinstance(crd, CRD), "it was built as one"
        seed = derive_seed(self._start.stream_seed, "crd", batch.epoch, batch.number)
        negatives = crd.draw(batch.index, torch.Generator().manual_seed(seed))
        return crd(ours, theirs, batch.index, negatives)

    def _built(
        self, name: str, options: dict[str, Any], ours: Sequence[Tensor], theirs: Sequence[Tensor]
    ) -> _Trained:
        seed = derive_seed(self._start.init_seed, "loss", name)
        generator = torch.Generator().manual_seed(seed)
        if name == "fitnets":
            module = nn.ModuleList(
                FitNets(student.shape[1], teacher.shape[1], generator)
                for student, teacher in zip(ours, theirs, strict=True)
            )
        else:
            assert self._labels is not None, "a run knows its labels"
            sizes = (ours[0][0].numel(), theirs[0][0].numel())
            chosen = ("dimensions", "negatives", "temperature", "momentum")
            module = CRD(
                sizes,
                len(self._labels),
                torch.from_numpy(np.asarray(self._labels, np.int64)),
                **{key: options[key] for key in chosen if key in options},
                generator=generator,
            )
        module.to(self._start.device)
        optimizer = build_optimizer(self._start.optimizer, module.parameters())
        set_rate(optimizer, self._rate)
        stored = {key: value for key, value in self._stored.items() if key.startswith(f"{name}/")}
        if stored:
            self._stored = {key: v for key, v in self._stored.items() if key not in stored}
            parts: dict[str, Arrays] = {_MODULE: {}, _OPTIMIZER: {}}
            for key, value in stored.items():
                _, part, rest = key.split("/", 2)
                parts[part][rest] = value
            load_weights(module, parts[_MODULE])
            load_optimizer_arrays(optimizer, parts[_OPTIMIZER])
        return _Trained(module, optimizer)
