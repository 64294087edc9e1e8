"""The prefix chain: a training as a start and a list of epochs, and the identity of each state.

    state_id(0) = H(start),   state_id(e) = H(state_id(e - 1), what epoch e does)

Two trainings that do the same up to an epoch have the same ids up to there. That is what makes
resuming, stopping the distillation (ESKD), truncated teachers and longer schedules one mechanism.
The spec id of a run is the id of its last state.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any

from tutelage.config.canonical import canonical, digest
from tutelage.config.schema import AdamW, Sgd

# Raised when a change to the component changes numbers, so that old results are not mistaken
# for new ones. Each enters the ids of what rests on it: the first three every start, the last two
# the epochs that distil.
RESULTS_VERSION = {"data": 2, "models": 2, "training": 1, "losses": 2, "teachers": 1}
# Steppers: each rounds in its own way. `fused` steps so many networks at once, or fewer and zeros.
FUSED_GROUP = 8
_EVERYWHERE, _DISTILLING = ("data", "models", "training"), ("losses", "teachers")


@dataclass(frozen=True)
class Start:
    """All that decides a training before its first epoch, and does not change during it.

    `data` is the fingerprint of the training and validation images and labels; `views`,
    `batch_size`, `mixup` and `cutmix` make the stream together with `stream_seed`; `init_seed`
    decides the initial weights. A teacher is asked in `teacher_precision`. The learning rate is not
    part of `optimizer` here, because epochs set it.
    """

    data: str
    views: str
    batch_size: int
    model: str
    init_seed: int
    stream_seed: int
    optimizer: Sgd | AdamW
    clip_norm: float | None = None
    label_smoothing: float = 0.0
    precision: str = "fp32"
    teacher_precision: str = "fp32"
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float = 0.0
    swa: int = 0
    stepper: str = "eager"
    device: str = "cpu"

    def form(self) -> dict[str, Any]:
        """The canonical form: defaults are left out, so that new options change no old id."""
        form = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if item.default is MISSING or getattr(self, item.name) != item.default
        }
        optimizer = self.optimizer.model_dump(exclude={"lr"}, exclude_none=True)
        return form | {"optimizer": {type(self.optimizer).__name__.lower(): optimizer}}


@dataclass(frozen=True)
class EpochStep:
    """What one epoch does: all that may change from one epoch to the next.

    `loss` is the distillation loss in canonical form, None where `kd_weight` is 0, because nothing
    is then computed; `features` are those of features, with their weights; `teacher` the identity
    of the reference that is taught from, None where nobody is. Where there is a `rule` (see
    AdaptiveConfig.form) that what came before has met, the epoch does `otherwise` instead.
    """

    lr: float
    ce_weight: float
    kd_weight: float = 0.0
    loss: str | None = None
    teacher: str | None = None
    features: str | None = None
    rule: str | None = None
    otherwise: EpochStep | None = None

    @property
    def distils(self) -> bool:
        """Whether a teacher is asked at all."""
        return self.kd_weight > 0.0 or self.features is not None

    @property
    def feature_losses(self) -> tuple[str, ...]:
        """The names of the losses of features, in the order of `features`."""
        return tuple(json.loads(self.features)) if self.features is not None else ()

    def form(self) -> dict[str, Any]:
        """The canonical form; what is absent is left out."""
        form: dict[str, Any] = {"lr": self.lr, "ce_weight": self.ce_weight}
        if self.distils:
            form |= {"kd_weight": self.kd_weight, "loss": self.loss, "teacher": self.teacher}
            if self.features is not None:
                form["features"] = self.features
            form["results_version"] = {name: RESULTS_VERSION[name] for name in _DISTILLING}
        if self.rule is not None:
            form["rule"] = self.rule
        if self.otherwise is not None:
            form["otherwise"] = self.otherwise.form()
        return form


@dataclass(frozen=True)
class Trajectory:
    """A training: its start and its epochs."""

    start: Start
    epochs: tuple[EpochStep, ...]

    @cached_property
    def state_ids(self) -> tuple[str, ...]:
        """The id of the state after 0, 1, ... epochs; one more than there are epochs."""
        versions = {name: RESULTS_VERSION[name] for name in _EVERYWHERE}
        ids = [digest({"start": self.start.form(), "results_version": versions})]
        forms = {epoch: canonical(epoch.form()) for epoch in set(self.epochs)}
        for number, epoch in enumerate(self.epochs, start=1):
            # digest([ids[-1], number, epoch.form()]), but each form is written out only once.
            text = f'["{ids[-1]}",{number},{forms[epoch]}]'
            ids.append(hashlib.sha256(text.encode()).hexdigest())
        return tuple(ids)

    @property
    def id(self) -> str:
        """The spec id: the id of the last state."""
        return self.state_ids[-1]

    def prefix(self, epochs: int) -> Trajectory:
        """The same training, cut after `epochs`."""
        return Trajectory(self.start, self.epochs[:epochs])

    def shared_with(self, other: Trajectory) -> int:
        """How many epochs both have in common; -1 when not even the start is the same."""
        pairs = zip(self.state_ids, other.state_ids, strict=False)
        # An id rests on the one before it: once two differ, so do all that follow.
        return sum(mine == theirs for mine, theirs in pairs) - 1
