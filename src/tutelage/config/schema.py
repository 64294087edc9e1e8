"""What a study is, as data: strict typed models of the YAML file. An unknown key is an error.

A *duration* is a whole number of epochs (`12`) or a fraction of the schedule (`0.1`; `1.0` is all
of it).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)

from tutelage.config.canonical import canonical

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Epochs = Annotated[int, Field(ge=0, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Duration = Epochs | Fraction
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0.0, le=1000.0)]  # beyond it a share is 0.5 and nothing else
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Mode = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5}/[1-9][0-9]{0,5}$")]


class Strict(BaseModel):
    """Base of every part of a study: no unknown keys, no coercion, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Word(Strict):
    """Base of a part that may also be written as one word; `_word` is the JSON schema of it."""

    _word: ClassVar[dict[str, Any]]

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(core_schema), cls._word]}


def _one_of(model: BaseModel, names: tuple[str, ...], what: str) -> None:
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise ValueError(f"{what} needs exactly one of {', '.join(names)}; found {found}")


class TransformViews(Strict):
    """Augmentation by transforms of torchvision.transforms.v2, applied one after the other."""

    torchvision: Annotated[list[str | dict[str, Any]], Field(min_length=1)] = Field(
        description="each a class's name, or {name: {argument: value}}"
    )

    @model_validator(mode="after")
    def _plain(self) -> TransformViews:
        try:
            canonical(self.torchvision)
        except TypeError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def text(self) -> str:
        """The views as one line, which is part of an identity and can be read back."""
        return f"torchvision:{canonical(self.torchvision)}"


class DataConfig(Strict):
    """The images of a study, how many, how noisy, and how they are augmented."""

    source: str = Field(
        description="a data set's name (digits, cifar10, ...; see `list datasets`), or `files`: "
        "whatever lies at the path"
    )
    path: str | None = Field(
        default=None, description="where the files are; not part of the identity"
    )
    class_names: Annotated[list[str], Field(min_length=2)] | None = Field(
        default=None, description="names of the classes in the order of their labels, for readers"
    )
    classes: Literal["top", "leaf"] = Field(
        default="top",
        description="in image folders, a class is a folder at the top, or each that holds images",
    )
    train: Count | None = Field(
        default=None, description="training images (default: all that remain)"
    )
    validation: Count | None = Field(
        default=None, description="validation images (default: a tenth)"
    )
    test: Count | None = Field(default=None, description="test images (default: all)")
    size: Annotated[int, Field(ge=4, le=512)] | None = Field(
        default=None, description="side in pixels to which images are brought"
    )
    fit: Literal["crop", "stretch"] = Field(
        default="crop",
        description="how an image that is not square gets its size: from its central square, or "
        "whole with its sides changed",
    )
    label_noise: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.0, description="share of train and validation labels replaced by another class"
    )
    views: str | TransformViews = Field(
        default="none",
        description="augmentation: none, flip, shift-1, crop-4, crop-4-flip, or transforms",
    )

    @property
    def views_text(self) -> str:
        """The views as one line; `tutelage.data.parse_views` reads it."""
        return self.views if isinstance(self.views, str) else self.views.text


class Sgd(Strict):
    """Stochastic gradient descent with momentum."""

    lr: Positive = 0.1
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    nesterov: bool = True
    weight_decay: Weight = 5e-4


class AdamW(Strict):
    """Adam with decoupled weight decay."""

    lr: Positive = 1e-3
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    eps: Positive = 1e-8
    weight_decay: Weight = 0.01


class OptimizerConfig(Strict):
    """One optimizer, named by its key."""

    sgd: Sgd | None = None
    adamw: AdamW | None = None

    @model_validator(mode="after")
    def _single(self) -> OptimizerConfig:
        _one_of(self, ("sgd", "adamw"), "optimizer")
        return self

    @property
    def chosen(self) -> Sgd | AdamW:
        """The optimizer that was named."""
        return self.sgd or self.adamw  # type: ignore[return-value]  # one is set, see _single


class ScheduleConfig(Strict):
    """The learning rate over the epochs; constant when empty. It changes between epochs only."""

    steps: list[Duration] | None = Field(
        default=None, description="when the rate is multiplied by factor"
    )
    factor: Annotated[float, Field(gt=0.0, le=1.0)] = 0.2
    mode: Mode | None = Field(
        default=None, description="n/N: a decay every n epochs, N epochs in all"
    )
    cosine: Literal[True] | None = None
    cooldown: Duration | None = Field(
        default=None, description="constant, then falling linearly over the last so many epochs"
    )

    @model_validator(mode="after")
    def _single(self) -> ScheduleConfig:
        kinds = (self.steps, self.mode, self.cosine, self.cooldown)
        if sum(value is not None for value in kinds) > 1:
            raise ValueError("a schedule has one of steps, mode, cosine, cooldown")
        return self


class RecipeConfig(_Word):
    """How a network is trained, whoever teaches it. A partial one overrides what it inherits."""

    _word: ClassVar = {"type": "string"}

    extends: Name | None = Field(default=None, description="a recipe by name: paper-cifar10")
    epochs: Annotated[Epochs, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] | None = Field(
        default=None, description="images a step; of a single one BatchNorm has no statistics"
    )
    optimizer: OptimizerConfig | None = None
    schedule: ScheduleConfig | None = None
    warmup: Duration | None = Field(default=None, description="linear rise of the learning rate")
    clip_norm: Positive | None = None
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    precision: Literal["fp32", "bf16"] | None = None
    mixup: Beta | None = Field(
        default=None,
        description="two images are mixed, their shares drawn from Beta(mixup, mixup); 0: not",
    )
    cutmix: Beta | None = Field(
        default=None,
        description="a box of one image is pasted into another, their shares of the area drawn "
        "from Beta(cutmix, cutmix); 0: not",
    )
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] | None = Field(
        default=None,
        description="decay of the exponential moving average of the weights, which is then what "
        "is evaluated and kept; 0: none",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"extends": value} if isinstance(value, str) else value


class KdConfig(Strict):
    """Hinton's distillation loss."""

    temperature: Positive = 4.0


class LossConfig(Strict):
    """One distillation loss, named by its key."""

    kd: KdConfig | None = None

    @model_validator(mode="after")
    def _single(self) -> LossConfig:
        _one_of(self, ("kd",), "loss")
        return self


class Weights(Strict):
    """Weights of the two terms of the loss."""

    ce_weight: Weight = 1.0
    kd_weight: Weight = 0.0


class _Taught(Strict):
    """What a condition and a teacher that was itself distilled have in common."""

    loss: LossConfig | None = None
    ce_weight: Weight | None = Field(
        default=None, description="default: 0.1 with a teacher, 1 without"
    )
    kd_weight: Weight | None = Field(default=None, description="default: 0.9")
    distill_until: Duration | None = Field(default=None, description="ESKD: when `after` begins")
    decay: Literal["none", "linear"] | None = Field(
        default=None, description="linear: both weights move steadily to those of `after`"
    )
    after: Weights | None = Field(
        default=None, description="weights after distill_until (default 1 and 0)"
    )
    recipe: RecipeConfig | None = None


class StopConfig(_Word):
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
        _one_of(self, ("compressed", "truncated", "cooldown", "best_validation"), "stop")
        return self


class ScaleConfig(_Word):
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
        _one_of(self, ("calibrated", "entropy_of"), "scale")
        if self.calibrated and self.temperature != 4.0:
            raise ValueError("calibrated takes no temperature")
        return self


class TeacherConfig(_Taught):
    """A network to learn from: trained here, stopped somewhere, perhaps with scaled logits."""

    model: str | None = None
    of: Name | None = Field(
        default=None, description="another teacher of the study that this one varies"
    )
    stop: StopConfig | None = None
    scale: ScaleConfig | None = None
    teacher: Name | None = Field(
        default=None, description="who taught this teacher (sequential KD)"
    )

    @model_validator(mode="after")
    def _single(self) -> TeacherConfig:
        _one_of(self, ("model", "of"), "a teacher")
        if self.of and self.stop is None and self.scale is None:
            raise ValueError("a teacher that is `of` another needs a stop or a scale")
        return self


class ConditionConfig(_Taught):
    """Everything about a student's training except its seeds."""

    extends: Name | None = None
    teacher: Name | Annotated[list[Name], Field(min_length=1)] | None = None
    student: StudentConfig | None = None


class StudentConfig(Strict):
    """The small network that is wanted."""

    model: str


Varied = Literal["split", "noise", "teacher"]


class ReplicatesConfig(Strict):
    """How often the study's world is repeated, what differs, and the students in each."""

    count: Count = 6
    vary: list[Varied] = list(get_args(Varied))
    students: Count = 3


Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class TrendConfig(Strict):
    """An ordered family: the slope of a metric over a property of the teachers."""

    over: Literal["teacher_parameters", "teacher_error"] = "teacher_parameters"
    of: str = "test_error"
    within: Name | Annotated[list[str], Field(min_length=2)] = Field(
        description="conditions, or one group: then its fully trained, unscaled teachers"
    )


CLAIM_KINDS = ("difference", "non_inferiority", "equivalence", "trend")


class ClaimConfig(Strict):
    """One sentence that the study can support or refute."""

    difference: Pair | None = Field(default=None, description="[a, b]: a - b lies in `direction`")
    non_inferiority: Pair | None = Field(default=None, description="[a, b]: a is worse by < margin")
    equivalence: Pair | None = Field(default=None, description="[a, b]: |a - b| < margin")
    trend: TrendConfig | None = None
    direction: Literal["less", "greater", "decreasing", "increasing"] | None = None
    metric: str = "test_error"
    margin: Positive = Field(description="the smallest effect of interest, in the metric's unit")

    @model_validator(mode="after")
    def _fits(self) -> ClaimConfig:
        _one_of(self, CLAIM_KINDS, "a claim")
        wanted = {"difference": ("less", "greater"), "trend": ("increasing", "decreasing")}
        allowed = wanted.get(self.kind)
        if allowed and self.direction not in allowed:
            raise ValueError(f"a {self.kind} needs direction {' or '.join(allowed)}")
        if not allowed and self.direction:
            raise ValueError(f"{self.kind} takes no direction")
        if self.trend and self.metric != "test_error":
            raise ValueError("a trend names its metric as trend.of")
        pair = self.difference or self.non_inferiority or self.equivalence
        if pair and pair[0] == pair[1]:
            raise ValueError(f"{self.kind} compares {pair[0]} with itself")
        return self

    @property
    def kind(self) -> str:
        """Which of CLAIM_KINDS this is."""
        return next(kind for kind in CLAIM_KINDS if getattr(self, kind) is not None)


class ClaimsConfig(Strict):
    """One primary claim, and secondary ones."""

    primary: Annotated[dict[Name, ClaimConfig], Field(max_length=1)] = {}
    secondary: dict[Name, ClaimConfig] = {}


class StudyConfig(Strict):
    """One question, with everything that is needed to answer it."""

    name: Name
    question: str = ""
    data: DataConfig
    recipe: RecipeConfig = RecipeConfig()
    student: StudentConfig
    teachers: dict[Name, TeacherConfig] = {}
    conditions: dict[Name, ConditionConfig] = {}
    replicates: ReplicatesConfig = ReplicatesConfig()
    seed: Annotated[int, Field(ge=0)] = 0
    claims: ClaimsConfig = ClaimsConfig()
