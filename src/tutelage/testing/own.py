"""What tutelage's own losses declare."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tutelage.losses import LOSSES, logit_loss
from tutelage.testing.conformance import ALL, Verdict, check_loss
from tutelage.testing.subject import Loss


@dataclass(frozen=True)
class Declaration:
    """A loss of tutelage with its options, and the names of the properties that it has."""

    loss: Loss
    properties: tuple[str, ...]
    labels: bool = False
    at_temperature: Callable[[float], Loss] | None = None

    def check(self, seed: int = 0, properties: tuple[str, ...] | None = None) -> list[Verdict]:
        """Its verdicts; with `properties`, for these instead of its own."""
        return check_loss(
            self.loss, properties or self.properties, labels=self.labels, seed=seed,
            at_temperature=self.at_temperature,
        )  # fmt: skip


# The options that are checked, and what does not hold of a loss, bare and standardised. DIST
# compares the images of a batch, and its correlations count every class; phi of Annealing-KD makes
# it ask for another thing than the teacher; squared distances see a constant on all logits.
_OPTIONS: dict[str, dict[str, Any]] = {
    "kd": {"temperature": 4.0},
    "mse": {},
    "dist": {},
    "dkd": {},
    "annealing": {"factor": 0.3},  # no power of 2, by which halves are multiplied exactly
}
_WITH_LABELS = ("dkd",)
_LACKS: dict[str, tuple[str, ...]] = {
    "kd": (),
    "mse": ("large-temperature", "shift"),
    "dist": ("large-temperature", "mean-of-images", "class-count"),
    "dkd": ("large-temperature",),
    "annealing": (
        "large-temperature", "zero-at-teacher", "stationary-at-teacher", "shift", "class-count",
    ),
}  # fmt: skip
# Mean and spread of a row are over its classes, and a shift is what they take away.
_STANDARDISED_LACKS = ("large-temperature", "class-count")
_STANDARDISED_GAINS = ("shift",)


def _declared(name: str) -> Declaration:
    options = _OPTIONS[name]
    loss = partial(LOSSES[name], **options)
    properties = tuple(each for each in ALL if each not in _LACKS[name])
    hot = partial(_hotter, name) if "temperature" in options else None
    return Declaration(loss, properties, name in _WITH_LABELS, hot)


def _standardised(name: str) -> Declaration:
    loss = logit_loss(json.dumps({name: _OPTIONS[name], "standardise": True}))
    lacks = {*_LACKS[name], *_STANDARDISED_LACKS} - {*_STANDARDISED_GAINS}
    properties = tuple(each for each in ALL if each not in lacks)
    labels = name in _WITH_LABELS
    return Declaration(loss if labels else partial(_unlabelled, loss), properties, labels)


def _hotter(name: str, temperature: float) -> Loss:
    return partial(LOSSES[name], **(_OPTIONS[name] | {"temperature": temperature}))


def _unlabelled(loss: Callable[..., Tensor], student: Tensor, teacher: Tensor) -> Tensor:
    return loss(student, teacher, torch.empty(0))


OWN_LOSSES: dict[str, Declaration] = {
    **{name: _declared(name) for name in _OPTIONS},
    **{f"standardised-{name}": _standardised(name) for name in _OPTIONS},
}
"""Tutelage's own losses by name; "standardised-kd" is `kd` of standardised logits."""
