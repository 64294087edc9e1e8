"""The part of a study that says how a network is trained, whoever teaches it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tutelage.config.fields import (
    Beta,
    Duration,
    Epochs,
    Mode,
    Name,
    Positive,
    Strict,
    Weight,
    Word,
    one_of,
)


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
        one_of(self, ("sgd", "adamw"), "optimizer")
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


class RecipeConfig(Word):
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
    swa: Duration | None = Field(
        default=None,
        description="from here on the equal average of the weights after every step is what is "
        "evaluated and kept (SWA); needs a rate that stays high, such as a constant one",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"extends": value} if isinstance(value, str) else value
