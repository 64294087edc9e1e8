"""A study in full, as values: references to teachers, and trainings with everything but the seeds.

A *reference* says what a student learns from: a state of a training, or other references, scaled,
averaged, one for each part of the images, or one after the other. References nest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from tutelage.config.canonical import canonical
from tutelage.config.chain import EpochStep
from tutelage.config.recipe import Recipe
from tutelage.config.schema import AdaptiveConfig, LossConfig, Weights
from tutelage.config.schema_losses import FeatureConfig


@dataclass(frozen=True)
class StateRef:
    """A state of a training: after `at` epochs, at its end, or best on validation."""

    training: str
    at: int | Literal["final", "best"] = "final"


@dataclass(frozen=True)
class ScaledRef:
    """Another reference with its logits multiplied by one factor.

    With `entropy_of` the factor matches the mean entropy of that reference at `temperature` on
    the training images; without, it is the one of least NLL on the validation split.
    """

    of: Reference
    entropy_of: Reference | None = None
    temperature: float = 1.0


@dataclass(frozen=True)
class MeanRef:
    """The mean of the logits of several references: an ensemble."""

    averaged: tuple[Reference, ...]


@dataclass(frozen=True)
class PartsRef:
    """Cross-fitting: states of trainings each of which leaves one part of the images out (see
    `Training.part`), in the order of the parts, and speaks on that one."""

    parts: tuple[StateRef, ...]


@dataclass(frozen=True)
class StagesRef:
    """References that are heard one after the other, each for an equal share of the epochs that
    distil (route-constrained optimization: Jin et al. 2019, arXiv 1904.09149)."""

    stages: tuple[Reference, ...]


Reference = StateRef | ScaledRef | MeanRef | PartsRef | StagesRef


def states_in(reference: Reference) -> Iterator[StateRef]:
    """Every state that a reference rests on."""
    yield from states_heard(reference)
    for each in _scaled_in(reference):
        if each.entropy_of is not None:
            yield from states_in(each.entropy_of)


def states_heard(reference: Reference) -> Iterator[StateRef]:
    """The states whose logits are part of what a student hears."""
    if isinstance(reference, StateRef):
        yield reference
    for child in children_of(reference):
        yield from states_heard(child)


def stages_of(reference: Reference) -> tuple[Reference, ...]:
    """What is heard one after the other: the reference itself, where nothing else is said."""
    return reference.stages if isinstance(reference, StagesRef) else (reference,)


def children_of(reference: Reference) -> tuple[Reference, ...]:
    """The references whose logits one is made of."""
    match reference:
        case StateRef():
            return ()
        case ScaledRef(of):
            return (of,)
        case MeanRef(children) | PartsRef(children) | StagesRef(children):
            return children


def _scaled_in(reference: Reference) -> Iterator[ScaledRef]:
    if isinstance(reference, ScaledRef):
        yield reference
    for child in children_of(reference):
        yield from _scaled_in(child)


@dataclass(frozen=True)
class Training:
    """A condition in full: model, recipe, and what it is taught by. Everything but the seeds."""

    name: str
    group: str
    model: str
    recipe: Recipe
    teacher: str | None = None
    loss: LossConfig | None = None
    weights: Weights = field(default_factory=Weights)
    until: int = 0
    decay: str = "none"
    after: Weights = field(default_factory=Weights)
    kd_warmup: int = 0
    adaptive: AdaptiveConfig | None = None
    watched_from: int = 0
    searched: float | None = None  # of a cell of a search: its length, in plain trainings
    part: tuple[int, int] | None = None  # (k, n): trained without part k (0, 1, ...) of n
    member: int = 0  # of a teacher: which of several networks that are alike
    images: str | None = None  # half-a or half-b of the training images; None: all
    unlabelled: str | None = None  # a half, or extra: images of which the teacher alone tells
    loss_code: str | None = None  # of a loss of the user's own: the mark of its code

    def steps(self, *teachers: str | None) -> tuple[EpochStep, ...]:
        """What each epoch does, when the identities of the reference's stages are `teachers`:
        none, or None, for a training that has no teacher."""
        epochs = zip(self.recipe.rates(), self._weights(), strict=True)
        steps = [
            self._step(epoch, rate, weights, self._heard(epoch, teachers))
            for epoch, (rate, weights) in enumerate(epochs)
        ]
        if self.adaptive is not None:
            rule = canonical(self.adaptive.form())
            for epoch in range(self.watched_from, len(steps)):
                teacher = self._heard(epoch, teachers)
                otherwise = self._step(epoch, steps[epoch].lr, self.after, teacher)
                steps[epoch] = replace(steps[epoch], rule=rule, otherwise=otherwise)
        return tuple(steps)

    def _heard(self, epoch: int, teachers: tuple[str | None, ...]) -> str | None:
        """Which of the stages is heard: each for a share of the epochs until the stop, and after
        it, where there is any teaching left, the last."""
        if not teachers:
            return None
        return teachers[min(epoch * len(teachers) // max(1, self.until), len(teachers) - 1)]

    def heard_in(self, reference: Reference) -> dict[StateRef, int]:
        """The states of `reference`, its teacher, that it hears, each with the number of epochs in
        which it does; of an adaptive stop, as if it were never stopped."""
        turns = stages_of(reference)
        steps = self.steps(*(str(turn) for turn in range(len(turns))))
        taught = Counter(step.teacher for step in steps if step.distils)
        found: Counter[StateRef] = Counter()
        for number, turn in enumerate(turns):
            for state in dict.fromkeys(states_heard(turn)):
                found[state] += taught[str(number)]
        return dict(found)

    @property
    def features(self) -> dict[str, FeatureConfig]:
        """The losses of features of which some epoch makes use, by name."""
        first, then = self.weights.of_features, self.after.of_features
        losses = self.loss.of_features if self.loss is not None else {}
        return {name: how for name, how in losses.items() if first[name] > 0 or then[name] > 0}

    def _step(self, epoch: int, rate: float, weights: Weights, teacher: str | None) -> EpochStep:
        loss = features = None
        if self.loss is not None and weights.kd_weight > 0:
            loss = canonical(self.loss.form(epoch, self.until, self.loss_code))
        if self.loss is not None:
            form = self.loss.features(weights.of_features)
            features = canonical(form) if form is not None else None
        taught = teacher if loss or features else None
        return EpochStep(rate, weights.ce_weight, weights.kd_weight, loss, taught, features)

    def _weights(self) -> Iterator[Weights]:
        for epoch, weights in enumerate(self._settled_weights()):
            risen = min(1.0, (epoch + 1) / self.kd_warmup) if self.kd_warmup else 1.0
            yield weights.model_copy(update={"kd_weight": risen * weights.kd_weight})

    def _settled_weights(self) -> Iterator[Weights]:
        for epoch in range(self.recipe.epochs):
            if self.teacher is None:
                yield Weights(ce_weight=self.weights.ce_weight)
            elif epoch >= self.until:
                yield self.after
            elif self.decay == "linear":
                done = epoch / self.until
                pairs = {
                    key: (getattr(self.weights, key), getattr(self.after, key))
                    for key in Weights.model_fields
                }
                yield Weights(
                    **{key: (1 - done) * begin + done * end for key, (begin, end) in pairs.items()}
                )
            else:
                yield self.weights

    @property
    def loss_text(self) -> str:
        """The loss in words, and the images where they are not all training images."""
        return self._loss_text() + self._images_text()

    def _images_text(self) -> str:
        told = [self.images or "all"] if self.images or self.unlabelled else []
        told += [f"{self.unlabelled} without labels"] if self.unlabelled else []
        return f" (images: {', '.join(told)})" if told else ""

    def _loss_text(self) -> str:
        if self.teacher is None or self.loss is None:
            return "cross-entropy"
        text = f"{self.loss.text()}, weights {self._told(self.weights)}"
        if self.kd_warmup:
            text += f" after {self.kd_warmup} epochs of rise"
        if self.adaptive is not None:
            text += f" {self.adaptive.text}, then {self._told(self.after)}"
        elif self.until < self.recipe.epochs or self.decay == "linear":
            how = "falling linearly to" if self.decay == "linear" else "then"
            text += f" until epoch {self.until}, {how} {self._told(self.after)}"
        return text

    def _told(self, weights: Weights) -> str:
        """Weights in the order of the loss's words, that of labels first."""
        assert self.loss is not None, "labels alone have no weights to tell"
        told = [weights.ce_weight]
        told += [weights.kd_weight] if self.loss.name else []
        told += [weights.of_features[name] for name in self.loss.of_features]
        return "/".join(f"{weight:g}" for weight in told)


@dataclass(frozen=True)
class Teacher:
    """A teacher of the study by its name: the reference, and what a reader is told of it."""

    name: str
    reference: Reference
    training: str  # the training of `reference`, or of the last of several
    stop: str
    scaled: str | None
    taught_by: str | None
    made_of: str | None = None  # of a reference that is more than one network: which, in words
    figures_of: str | None = None  # of several that are heard in turn: whose figures are reported

    @property
    def is_full(self) -> bool:
        """One network, trained to the end of its schedule by labels alone, logits untouched."""
        bare = self.scaled is None and self.made_of is None
        return self.stop == "full" and self.taught_by is None and bare


@dataclass(frozen=True)
class Expanded:
    """A study in full. `trainings` are those of teachers, `conditions` those of students."""

    teachers: dict[str, Teacher]
    trainings: dict[str, Training]
    conditions: dict[str, Training]
