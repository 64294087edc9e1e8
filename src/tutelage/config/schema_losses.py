"""The losses of a study: which there are, their options, and what they default to.

Weights that a condition does not set are those of the method's authors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, GetJsonSchemaHandler, model_validator

from tutelage.config.canonical import canonical
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


class OwnConfig(Strict):
    """A loss of your own: a function of the raw logits [B, C] of student and teacher, and perhaps
    of labels int64 [B], that gives one number."""

    function: Annotated[str, Field(pattern=":")] = Field(
        description="where it is: file.py:function or module:function"
    )
    arguments: dict[str, Any] | None = Field(
        default=None, description="more arguments of the function, by name"
    )
    labels: bool = Field(default=False, description="the function takes labels as its third one")
    version: str | None = Field(
        default=None,
        description="stands for the code of the function: results stay valid until it changes",
    )

    @model_validator(mode="after")
    def _plain(self) -> OwnConfig:
        try:
            canonical(self.arguments)
        except TypeError as error:
            raise ValueError(
                f"arguments: {error}; use numbers, words, lists and mappings"
            ) from None
        return self

    @property
    def key(self) -> str:
        """The same for functions that are called alike."""
        return canonical(self.model_dump(exclude_defaults=True))


class FeatureConfig(Strict):
    """Where a loss reads student and teacher: modules by their paths (`head:input` is the input of
    the module `head`), in pairs. What is left out is where its authors read."""

    student: Paths | None = Field(default=None, description="modules; default: those of the loss")
    teacher: Paths | None = Field(default=None, description="as many modules of the teacher")


class AtConfig(FeatureConfig):
    """Attention transfer: where student and teacher look, at the ends of their stages."""


class FitNetsConfig(FeatureConfig):
    """FitNets: the teacher's maps from a linear layer on the student's, at the middle stage's end,
    trained together."""


class SpConfig(FeatureConfig):
    """Similarity-preserving: which images of a batch are alike to them, at the last stage's end."""


class RkdConfig(FeatureConfig):
    """Relational KD: distances and angles between the images of a batch, before the last layer."""

    distance_weight: Weight = 25.0
    angle_weight: Weight = 50.0

    @model_validator(mode="after")
    def _some(self) -> RkdConfig:
        if self.distance_weight == self.angle_weight == 0:
            raise ValueError("distance_weight and angle_weight are both 0: nothing is compared")
        return self


class CrdConfig(FeatureConfig):
    """CRD: an image's own embedding by the teacher told from those of images of other classes, with
    a memory of the training set; before the last layer."""

    student: Annotated[Paths, Field(max_length=1)] | None = Field(
        default=None, description="one module; default: the input of the last layer"
    )
    teacher: Annotated[Paths, Field(max_length=1)] | None = Field(
        default=None, description="one module of the teacher"
    )
    dimensions: Annotated[Count, Field(le=65536)] = 128
    negatives: Count | None = Field(
        default=None, description="at most so many; default 16384, or what there are"
    )
    temperature: Positive = 0.07
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5


@dataclass(frozen=True)
class Method:
    """What the authors of a loss use, where a condition says nothing else.

    Weights of the cross-entropy and of the loss of logits; the share of the schedule during which
    the second rises, and the share after which labels are left alone.
    """

    title: str
    ce_weight: float
    kd_weight: float = 0.0
    kd_warmup: float = 0.0
    distill_until: float = 1.0


@dataclass(frozen=True)
class FeatureMethod:
    """What the authors of a loss of features use: its weight, beside 1 for the cross-entropy, and
    what it `reads` (see `models.features.usual_paths`); `maps` where it takes nothing but maps."""

    title: str
    words: str
    weight: float
    reads: str
    maps: bool = False


METHODS = {
    "kd": Method("KD", 0.1, 0.9),
    "mse": Method("logit MSE", 0.0, 1.0),
    "dist": Method("DIST", 1.0, 2.0),
    "dkd": Method("DKD", 1.0, 1.0, kd_warmup=20 / 240),
    # Its authors train longer after the annealing than before on some tasks and shorter on others.
    "annealing": Method("Annealing-KD", 0.0, 1.0, distill_until=0.8),
}
# Their weights are those of their authors, or of Tian et al. (arXiv 1910.10699), who ran them all.
FEATURE_METHODS = {
    "at": FeatureMethod("AT", "attention transfer", 1000.0, "ends", maps=True),
    "fitnets": FeatureMethod("FitNets", "FitNets", 100.0, "middle", maps=True),
    "sp": FeatureMethod("SP", "similarity-preserving distillation", 3000.0, "last"),
    "rkd": FeatureMethod("RKD", "relational distillation", 1.0, "embedding"),
    "crd": FeatureMethod("CRD", "contrastive distillation", 0.8, "embedding"),
}
_FEATURES_ALONE = Method("features", 1.0)
_OWN = Method("own loss", 0.1, 0.9)
_STANDARDISED_KD = Method("KD", 0.1, 9.0)
_OF_LOGITS = (*METHODS, "own")


class LossConfig(Word):
    """What a student learns from its teacher: one loss of logits, any of features, or both, named
    by their keys; or a name alone, for its defaults; or where a function of your own is."""

    _word: ClassVar = {"enum": [*METHODS, *FEATURE_METHODS]}

    kd: KdConfig | None = None
    mse: MseConfig | None = None
    dist: DistConfig | None = None
    dkd: DkdConfig | None = None
    annealing: AnnealingConfig | None = None
    own: OwnConfig | None = None
    at: AtConfig | None = None
    fitnets: FitNetsConfig | None = None
    sp: SpConfig | None = None
    rkd: RkdConfig | None = None
    crd: CrdConfig | None = None
    standardise: bool = Field(
        default=False, description="standardise the logits of both, image by image, before"
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        schema["anyOf"].append({"type": "string", "pattern": ":"})
        return schema

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str) and value in (*METHODS, *FEATURE_METHODS):
            return {value: {}}
        if isinstance(value, str) and ":" in value:
            return {"own": {"function": value}}
        if isinstance(value, dict) and value.get("standardise") is True and value.get("kd") == {}:
            return value | {"kd": {"temperature": 2.0}}  # that of its authors
        return value

    @model_validator(mode="after")
    def _single(self) -> LossConfig:
        if not self.of_features or self.name is not None:
            one_of(self, _OF_LOGITS, "loss")
        elif self.standardise:
            raise ValueError("standardise is for a loss of logits, and there is none")
        return self

    @property
    def name(self) -> str | None:
        """The key of the loss of logits, if there is one."""
        return next((name for name in _OF_LOGITS if getattr(self, name) is not None), None)

    @property
    def of_features(self) -> dict[str, FeatureConfig]:
        """The losses of features, by name."""
        given = {name: getattr(self, name) for name in FEATURE_METHODS}
        return {name: options for name, options in given.items() if options is not None}

    @property
    def method(self) -> Method:
        """What its authors use with it; with several losses, what those of the one of logits do."""
        if self.name is None:
            return _FEATURES_ALONE
        if self.own is not None:
            return _OWN
        return _STANDARDISED_KD if self.standardise and self.kd else METHODS[self.name]

    def features(self, weights: Mapping[str, float]) -> dict[str, Any] | None:
        """What an epoch does with features, in canonical form, given the weight of each loss of
        them by name; None for nothing."""
        form = {
            name: options.model_dump(exclude_none=True) | {"weight": weights[name]}
            for name, options in self.of_features.items()
            if weights[name] > 0
        }
        return form or None

    def form(self, epoch: int, until: int, code: str | None = None) -> dict[str, Any] | None:
        """What an epoch does with logits, in canonical form; `until` are the epochs that distil,
        and `code` is the mark of a function of the user's own."""
        if self.name is None:
            return None
        options = getattr(self, self.name).model_dump()
        if self.own is not None:
            options = self.own.model_dump(exclude_defaults=True)
            options |= {"code": code} if code is not None else {}
        if self.annealing is not None:
            steps = self.annealing.steps
            options = {"factor": min(1.0, (epoch * steps // until + 1) / steps)}
        return {self.name: options} | ({"standardise": True} if self.standardise else {})

    def text(self) -> str:
        """The loss in words, without weights."""
        features = " and ".join(
            _feature_text(name, options) for name, options in self.of_features.items()
        )
        if self.name is None:
            return features
        if self.own is not None:
            given = self.own.arguments or {}
            words = [self.own.function, *(f"{key} {value}" for key, value in given.items())]
            return self._joined(words, features)
        options = getattr(self, self.name).model_dump()
        words = [METHODS[self.name].title] + [
            f"{option.replace('_', ' ').replace('non target', 'non-target')} {value:g}"
            for option, value in options.items()
        ]
        return self._joined(words, features)

    def _joined(self, words: list[str], features: str) -> str:
        logits = ("standardised " if self.standardise else "") + ", ".join(words)
        return f"{logits}, and {features}" if features else logits


def _feature_text(name: str, options: FeatureConfig) -> str:
    """A loss of features in words: its title, and what differs from its defaults but modules."""
    given = options.model_dump(exclude_defaults=True, exclude={"student", "teacher"})
    words = (f" {option.replace('_', ' ')} {value:g}" for option, value in given.items())
    return FEATURE_METHODS[name].title + ",".join(words)
