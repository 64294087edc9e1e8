"""What a study is, as data: strict typed models of the YAML file. An unknown key is an error.

A *duration* is a whole number of epochs (`12`) or a fraction of the schedule (`0.1`; `1.0` is all
of it).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from tutelage.config.fields import (
    Count,
    Duration,
    Mode,
    Name,
    Positive,
    Strict,
    Weight,
    Word,
    one_of,
)
from tutelage.config.schema_adaptive import AdaptiveConfig
from tutelage.config.schema_claims import (
    CLAIM_KINDS,
    BestConfig,
    ClaimConfig,
    ClaimsConfig,
    TrendConfig,
)
from tutelage.config.schema_data import DataConfig, TransformViews
from tutelage.config.schema_losses import FEATURE_METHODS, LossConfig
from tutelage.config.schema_model import Model
from tutelage.config.schema_recipe import (
    AdamW,
    OptimizerConfig,
    RecipeConfig,
    ScheduleConfig,
    Sgd,
)

__all__ = [
    "CLAIM_KINDS",
    "AdamW",
    "AdaptiveConfig",
    "BestConfig",
    "ClaimConfig",
    "ClaimsConfig",
    "ConditionConfig",
    "DataConfig",
    "Duration",
    "LossConfig",
    "OptimizerConfig",
    "RecipeConfig",
    "ReplicatesConfig",
    "ScaleConfig",
    "ScheduleConfig",
    "Sgd",
    "StopConfig",
    "StudentConfig",
    "StudyConfig",
    "TeacherConfig",
    "TransformViews",
    "TrendConfig",
    "Weights",
]


_FIRST = ("ce_weight", "kd_weight", "at_weight")
Names = Annotated[list[Name], Field(min_length=1)]


class Weights(Strict):
    """Weights of the terms of the loss: labels, the teacher's logits, and by the name of the loss
    its features."""

    ce_weight: Weight = 1.0
    kd_weight: Weight = 0.0
    at_weight: Weight = 0.0
    fitnets_weight: Weight = 0.0
    sp_weight: Weight = 0.0
    rkd_weight: Weight = 0.0
    crd_weight: Weight = 0.0

    @property
    def of_features(self) -> dict[str, float]:
        """The weights of the losses of features, by name."""
        return {name: getattr(self, f"{name}_weight") for name in FEATURE_METHODS}

    @model_serializer(mode="wrap")
    def _as_it_was(self, handler: SerializerFunctionWrapHandler) -> dict[str, float]:
        # The ids of studies from before these were there stay as they are.
        return {key: value for key, value in handler(self).items() if value or key in _FIRST}


class _Taught(Strict):
    """What a condition and a teacher that was itself distilled have in common."""

    loss: LossConfig | None = None
    ce_weight: Weight | None = Field(
        default=None, description="default: that of the loss, 0.1 with kd; 1 without a teacher"
    )
    kd_weight: Weight | None = Field(
        default=None, description="default: that of the loss, 0.9 with kd"
    )
    at_weight: Weight | None = Field(default=None, description="default: 1000 with at")
    fitnets_weight: Weight | None = Field(default=None, description="default: 100 with fitnets")
    sp_weight: Weight | None = Field(default=None, description="default: 3000 with sp")
    rkd_weight: Weight | None = Field(default=None, description="default: 1 with rkd")
    crd_weight: Weight | None = Field(default=None, description="default: 0.8 with crd")
    kd_warmup: Duration | None = Field(
        default=None,
        description="epochs over which kd_weight rises linearly; default 0, with dkd "
        "a twelfth of the schedule",
    )
    distill_until: Duration | AdaptiveConfig | None = Field(
        default=None,
        description="ESKD: when `after` begins, or what decides it; default 1.0, with annealing "
        "0.8",
    )
    decay: Literal["none", "linear"] | None = Field(
        default=None, description="linear: all weights move steadily to those of `after`"
    )
    after: Weights | None = Field(
        default=None, description="weights after distill_until (default 1, and 0 for the rest)"
    )
    recipe: RecipeConfig | None = None
    images: Literal["half-a", "half-b"] | None = Field(
        default=None, description="trained on one half of the training images, instead of all"
    )
    unlabelled: Literal["half-a", "half-b", "extra"] | None = Field(
        default=None,
        description="images beside those with labels, of which the teacher alone tells: the other "
        "half, or those of `data.unlabelled`",
    )


class StopConfig(Word):
    """Where a teacher's training ends."""

    _word: ClassVar = {"const": "best_validation"}

    compressed: Mode | Annotated[float, Field(gt=0.0, le=1.0)] | None = Field(
        default=None, description="a shorter schedule with its decays scaled, run to its end"
    )
    truncated: Duration | None = Field(
        default=None, description="a checkpoint of the full schedule"
    )
    cooldown: Duration | None = Field(
        default=None,
        description="the full training's rate held constant up to here, then a tenth of its epochs "
        "in which it falls to nothing",
    )
    best_validation: Literal[True] | None = Field(
        default=None, description="ordinary early stopping"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"best_validation": True} if value == "best_validation" else value

    @model_validator(mode="after")
    def _single(self) -> StopConfig:
        one_of(self, ("compressed", "truncated", "cooldown", "best_validation"), "stop")
        return self


class ScaleConfig(Word):
    """One factor on a teacher's logits, fitted once per replicate."""

    _word: ClassVar = {"const": "calibrated"}

    calibrated: Literal[True] | None = Field(
        default=None, description="least NLL on the validation split"
    )
    entropy_of: Name | None = Field(
        default=None, description="a teacher whose mean entropy on the training images is matched"
    )
    temperature: Positive = Field(
        default=4.0, description="temperature at which entropies are matched"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"calibrated": True} if value == "calibrated" else value

    @model_validator(mode="after")
    def _single(self) -> ScaleConfig:
        one_of(self, ("calibrated", "entropy_of"), "scale")
        if self.calibrated and self.temperature != 4.0:
            raise ValueError("calibrated takes no temperature")
        return self


class TeacherConfig(_Taught):
    """A network to learn from: trained here, stopped somewhere, perhaps with scaled logits."""

    model: Model | None = None
    fine_tune: Literal[True] | None = Field(
        default=None,
        description="trains a teacher that has weights from outside; without, it is as it came",
    )
    of: Name | None = Field(
        default=None, description="another teacher of the study that this one varies"
    )
    stop: StopConfig | None = None
    scale: ScaleConfig | None = None
    member: Count | None = Field(
        default=None,
        description="another network of the same kind: teachers share their seeds unless they have "
        "different numbers here",
    )
    teacher: Name | None = Field(
        default=None, description="who taught this teacher (sequential KD)"
    )
    ensemble: Names | None = Field(
        default=None, description="teachers of the study whose logits are averaged"
    )
    schedule: Names | None = Field(
        default=None,
        description="teachers of the study that are heard in turn, each for an equal share of the "
        "epochs that distil (RCO)",
    )
    cross_fit: Annotated[int, Field(ge=2, le=1000)] | None = Field(
        default=None,
        description="into so many parts the training images are split; a network is trained "
        "without each part, and labels it",
    )

    @model_validator(mode="after")
    def _single(self) -> TeacherConfig:
        one_of(self, ("model", "of", "ensemble", "schedule"), "a teacher")
        if self.of and self.stop is None and self.scale is None and self.cross_fit is None:
            raise ValueError("a teacher that is `of` another needs a stop, a scale or cross_fit")
        return self


class SearchConfig(Strict):
    """A control that is searched for: each combination is a condition without a teacher."""

    lengths: Annotated[list[Positive], Field(min_length=1)] = Field(
        default_factory=lambda: [1.0, 2.0, 4.0],
        description="multiples of the recipe's epochs, its schedule scaled along",
    )
    lr: Annotated[list[Positive], Field(min_length=1)] = Field(
        default_factory=lambda: [1.0], description="factors of the learning rate"
    )
    weight_decay: Annotated[list[Weight], Field(min_length=1)] = Field(
        default_factory=lambda: [1.0], description="factors of the weight decay"
    )
    label_smoothing: (
        Annotated[list[Annotated[float, Field(ge=0.0, lt=1.0)]], Field(min_length=1)] | None
    ) = None


class ConditionConfig(_Taught):
    """Everything about a student's training except its seeds."""

    extends: Name | None = None
    teacher: Name | Names | None = None
    student: StudentConfig | None = None
    search: SearchConfig | Annotated[list[SearchConfig], Field(min_length=1)] | None = Field(
        default=None,
        description="many controls instead of one, to choose from on validation; a list of such "
        "products is the union of their cells",
    )


class StudentConfig(Strict):
    """The small network that is wanted."""

    model: Model


Varied = Literal["split", "noise", "teacher"]


class ReplicatesConfig(Strict):
    """How often the study's world is repeated, what differs, and the students in each."""

    count: Count = 6
    vary: list[Varied] = Field(default_factory=lambda: list(get_args(Varied)))
    students: Count = 3
    looks: Annotated[list[Count], Field(min_length=1)] | Literal["open"] | None = Field(
        default=None,
        description="numbers of replicates, increasing, after which the findings are looked at "
        "(`run --until decided` sets them), or open: after any number",
    )

    @model_validator(mode="after")
    def _looked_at(self) -> ReplicatesConfig:
        if isinstance(self.looks, list):
            if self.looks != sorted(set(self.looks)) or self.looks[0] < 2:
                raise ValueError("looks are numbers of replicates from 2 on, increasing")
            if self.count not in self.looks:
                known = ", ".join(map(str, self.looks))
                raise ValueError(f"count is {self.count}, which is none of the looks {known}")
        return self


class StudyConfig(Strict):
    """One question, with everything that is needed to answer it."""

    name: Name
    question: str = ""
    data: DataConfig
    recipe: RecipeConfig = RecipeConfig()
    student: StudentConfig
    teachers: dict[Name, TeacherConfig] = Field(default_factory=dict)
    conditions: dict[Name, ConditionConfig] = Field(default_factory=dict)
    replicates: ReplicatesConfig = ReplicatesConfig()
    seed: Annotated[int, Field(ge=0)] = 0
    claims: ClaimsConfig = ClaimsConfig()
