"""The part of a study that says what it can support or refute."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tutelage.config.fields import Name, Positive, Strict, one_of

Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class TrendConfig(Strict):
    """An ordered family: the slope of a metric over a property of the teachers."""

    over: Literal["teacher_parameters", "teacher_error"] = "teacher_parameters"
    of: str = "test_error"
    within: Name | Annotated[list[str], Field(min_length=2)] = Field(
        description="conditions, or one group: then its fully trained, unscaled teachers"
    )


class BestConfig(Strict):
    """An ordered family: its best condition lies inside the order, at neither end."""

    of: Name | Annotated[list[str], Field(min_length=3)] = Field(
        description="conditions, or one group of them"
    )
    over: Literal["listed", "teacher_parameters", "teacher_error"] = "listed"


Selector = Literal[
    "teacher_error", "teacher_nll", "teacher_ece", "teacher_entropy", "teacher_entropy_t4",
    "teacher_variance", "teacher_variance_t4", "teacher_parameters", "short_run",
]  # fmt: skip


class PredictionConfig(Strict):
    """Whether what is known of the teachers before students are trained finds the best student."""

    by: Selector = Field(
        description="a figure of the teachers, on validation data; or short_run, the validation "
        "error of the students of a short run"
    )
    of: Name | Annotated[list[str], Field(min_length=3)] = Field(
        description="conditions, or one group of them"
    )
    better: Literal["less", "more"] | None = Field(
        default=None, description="which end of the figure is chosen, where not the usual one"
    )
    short: Name | None = Field(
        default=None, description="with short_run: the group of conditions that are trained briefly"
    )

    @model_validator(mode="after")
    def _short_run(self) -> PredictionConfig:
        if (self.short is not None) != (self.by == "short_run"):
            raise ValueError("short and by: short_run go together")
        return self


Rank = Literal["primary", "secondary", "exploratory"]
CLAIM_KINDS = ("difference", "non_inferiority", "equivalence", "trend", "best", "prediction")


class SharedBy(Strict):
    """An account in which a teacher's training is divided by so many students."""

    shared: Annotated[int, Field(ge=1)]


class ClaimConfig(Strict):
    """One sentence that the study can support or refute."""

    difference: Pair | None = Field(default=None, description="[a, b]: a - b lies in `direction`")
    non_inferiority: Pair | None = Field(default=None, description="[a, b]: a is worse by < margin")
    equivalence: Pair | None = Field(default=None, description="[a, b]: |a - b| < margin")
    trend: TrendConfig | None = None
    best: BestConfig | None = None
    prediction: PredictionConfig | None = Field(
        default=None, description="the regret of choosing by it is below margin"
    )
    also: Annotated[list[Pair], Field(min_length=1)] | None = Field(
        default=None,
        description="the same comparison in other settings (entropy-matched, four times as long): "
        "a verdict needs them all",
    )
    minus: Pair | None = Field(
        default=None,
        description="another pair: its difference is taken from that of `difference`, so that the "
        "claim is one of interaction",
    )
    between: Literal["teachers"] | None = Field(
        default=None, description="teachers: what is compared are teachers, by their own figures"
    )
    account: Literal["free", "shared", "full"] | SharedBy | None = Field(
        default=None,
        description="[a, SEARCH]: against the best cell of a search, on validation, that costs no "
        "more than a; its teacher free, shared by the replicate's students (shared: N: by N), or "
        "fully charged",
    )
    direction: Literal["less", "greater", "decreasing", "increasing"] | None = None
    metric: str = "test_error"
    margin: Positive | None = Field(
        default=None,
        description="the smallest effect of interest, in the metric's unit; every kind but best",
    )
    images: Literal["new"] | None = Field(
        default=None, description="new: the interval speaks of other test images, too"
    )

    @model_validator(mode="after")
    def _fits(self) -> ClaimConfig:
        one_of(self, CLAIM_KINDS, "a claim")
        if self.best and self.margin is not None:
            raise ValueError("best takes no margin")
        if not self.best and self.margin is None:
            raise ValueError(f"{self.kind} needs a margin, the smallest effect of interest")
        wanted = {"difference": ("less", "greater"), "trend": ("increasing", "decreasing")}
        allowed = wanted.get(self.kind)
        if allowed and self.direction not in allowed:
            raise ValueError(f"a {self.kind} needs direction {' or '.join(allowed)}")
        if not allowed and self.direction:
            raise ValueError(f"{self.kind} takes no direction")
        if self.trend and self.metric != "test_error":
            raise ValueError("a trend names its metric as trend.of")
        if self.prediction and self.metric != "test_error":
            raise ValueError("a prediction is of the test error, and takes no metric")
        pair = self.difference or self.non_inferiority or self.equivalence
        for each in [*([pair] if pair else []), *(self.also or [])]:
            if each[0] == each[1]:
                raise ValueError(f"{self.kind} compares {each[0]} with itself")
        plain = pair and not self.also and not self.images and self.metric == "test_error"
        if self.account and not plain:
            raise ValueError("account takes two conditions and the metric test_error alone")
        if self.also and (not pair or self.images):
            raise ValueError("also takes a comparison of two conditions, on these test images")
        named = [tuple(each) for each in [pair, *(self.also or [])] if each]
        if len(set(named)) < len(named):
            raise ValueError("also names a pair twice")
        if self.images == "new" and (not pair or self.metric != "test_error"):
            raise ValueError("images: new takes two conditions and the metric test_error")
        return self

    @model_validator(mode="after")
    def _contrasts(self) -> ClaimConfig:
        pair = self.difference or self.non_inferiority or self.equivalence
        for key in ("minus", "between"):
            alone = pair and not (self.also or self.account or self.images)
            if getattr(self, key) and not alone:
                raise ValueError(f"{key} takes a pair, without also, account or images")
        if self.minus and self.minus[0] == self.minus[1]:
            raise ValueError(f"minus compares {self.minus[0]} with itself")
        if self.minus and (not self.difference or self.between or self.minus == pair):
            raise ValueError("minus takes a difference, and another pair of conditions than it")
        if self.between and not self.metric.startswith(("val_", "test_")):
            raise ValueError("teachers have figures on validation and test images alone")
        return self

    @property
    def kind(self) -> str:
        """Which of CLAIM_KINDS this is."""
        return next(kind for kind in CLAIM_KINDS if getattr(self, kind) is not None)


class ClaimsConfig(Strict):
    """One primary claim, secondary ones corrected for their number, and what is only looked at."""

    primary: dict[Name, ClaimConfig] = Field(default_factory=dict, max_length=1)
    secondary: dict[Name, ClaimConfig] = Field(default_factory=dict)
    # None, not {}: so the ids of studies without any stay as they are.
    exploratory: dict[Name, ClaimConfig] | None = Field(
        default=None, description="shown with effect and interval, without a verdict"
    )

    @model_validator(mode="after")
    def _names_differ(self) -> ClaimsConfig:
        twice = (self.exploratory or {}).keys() & {*self.primary, *self.secondary}
        if twice:
            raise ValueError(f"two claims are called {min(twice)}")
        return self

    def ranked(self) -> dict[Rank, dict[str, ClaimConfig]]:
        """The claims of each rank, the primary one first."""
        return {
            "primary": self.primary,
            "secondary": self.secondary,
            "exploratory": self.exploratory or {},
        }
