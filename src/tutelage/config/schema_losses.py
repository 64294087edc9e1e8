"""The losses of a study: which there are, their options, and what they default to.

Weights that a condition does not set are those of the method's authors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from tutelage.config.fields import Count, Positive, Strict, Weight, Word, one_of

Paths = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class KdConfig(Strict):
    """Hinton's distillation loss: the KL divergence of softened predictions."""

    temperature: Positive = Field(default=4.0, description="with `standardise` the default is 2")


class MseConfig(Strict):
    """The squared distance of logits."""


class DistConfig(Strict):
    """DIST: correlation with the teacher, of each image's classes and of each class's images."""

    temperature: Positive = 4.0
    inter_weight: Weight = Field(default=1.0, description="of the classes of an image")
    intra_weight: Weight = Field(default=1.0, description="of the images of a class")


class DkdConfig(Strict):
    """Decoupled KD: the label's class against all others, and the others among themselves."""

    temperature: Positive = 4.0
    target_weight: Weight = 1.0
    non_target_weight: Weight = Field(default=8.0, description="its authors tune it for each pair")


class AnnealingConfig(Strict):
    """Annealing-KD: the squared distance to the teacher's logits times a factor that rises to 1 in
    equal steps until `distill_until`; then labels alone."""

    steps: Annotated[Count, Field(le=1000)] = 10


class AtConfig(Strict):
    """Attention transfer: where student and teacher look, at the ends of their stages."""

    student: Paths | None = Field(default=None, description="modules; default: ends of its stages")
    teacher: Paths | None = Field(default=None, description="as many modules of the teacher")


@dataclass(frozen=True)
class Method:
    """What the authors of a loss use, where a condition says nothing else.

    Weights of the cross-entropy, of the loss of logits and of that of features; the share of the
    schedule during which the second rises, and the share after which labels are left alone.
    """

    title: str
    ce_weight: float
    kd_weight: float = 0.0
    kd_warmup: float = 0.0
    distill_until: float = 1.0
    at_weight: float = 0.0


METHODS = {
    "kd": Method("KD", 0.1, 0.9),
    "mse": Method("logit MSE", 0.0, 1.0),
    "dist": Method("DIST", 1.0, 2.0),
    "dkd": Method("DKD", 1.0, 1.0, kd_warmup=20 / 240),
    # Its authors train longer after the annealing than before on some tasks and shorter on others.
    "annealing": Method("Annealing-KD", 0.0, 1.0, distill_until=0.8),
}
FEATURE_METHODS = {"at": Method("AT", 1.0, at_weight=1000.0)}
_STANDARDISED_KD = Method("KD", 0.1, 9.0)


class LossConfig(Word):
    """What a student learns from its teacher: one loss of logits, one of features, or both, named
    by their keys; or a name alone, for its defaults."""

    _word: ClassVar = {"enum": [*METHODS, *FEATURE_METHODS]}

    kd: KdConfig | None = None
    mse: MseConfig | None = None
    dist: DistConfig | None = None
    dkd: DkdConfig | None = None
    annealing: AnnealingConfig | None = None
    at: AtConfig | None = None
    standardise: bool = Field(
        default=False, description="standardise the logits of both, image by image, before"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str) and value in (*METHODS, *FEATURE_METHODS):
            return {value: {}}
        if isinstance(value, dict) and value.get("standardise") is True and value.get("kd") == {}:
            return value | {"kd": {"temperature": 2.0}}  # that of its authors
        return value

    @model_validator(mode="after")
    def _single(self) -> LossConfig:
        if self.at is None or any(getattr(self, name) is not None for name in METHODS):
            one_of(self, tuple(METHODS), "loss")
        elif self.standardise:
            raise ValueError("standardise is for a loss of logits, and there is none")
        return self

    @property
    def name(self) -> str | None:
        """The key of the loss of logits, if there is one."""
        return next((name for name in METHODS if getattr(self, name) is not None), None)

    @property
    def method(self) -> Method:
        """What its authors use with it; with two losses, what those of the one of logits do, and
        the weight of the other."""
        if self.name is None:
            return FEATURE_METHODS["at"]
        method = _STANDARDISED_KD if self.standardise and self.kd else METHODS[self.name]
        features = FEATURE_METHODS["at"].at_weight if self.at else 0.0
        return replace(method, at_weight=features)

    def features(self, weight: float) -> dict[str, Any] | None:
        """What an epoch does with features, in canonical form; None for nothing."""
        if self.at is None or weight == 0:
            return None
        return {"at": self.at.model_dump(exclude_none=True) | {"weight": weight}}

    def form(self, epoch: int, until: int) -> dict[str, Any] | None:
        """What an epoch does with logits, in canonical form; `until` are the epochs that distil."""
        if self.name is None:
            return None
        options = getattr(self, self.name).model_dump()
        if self.annealing is not None:
            steps = self.annealing.steps
            options = {"factor": min(1.0, (epoch * steps // until + 1) / steps)}
        return {self.name: options} | ({"standardise": True} if self.standardise else {})

    def text(self) -> str:
        """The loss in words, without weights."""
        if self.name is None:
            return FEATURE_METHODS["at"].title
        options = getattr(self, self.name).model_dump()
        words = [METHODS[self.name].title] + [
            f"{option.replace('_', ' ').replace('non target', 'non-target')} {value:g}"
            for option, value in options.items()
        ]
        logits = ("standardised " if self.standardise else "") + ", ".join(words)
        return f"{logits}, and {FEATURE_METHODS['at'].title}" if self.at else logits
