"""A stop of the distillation that is not set beforehand but found in training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tutelage.config.fields import Duration, Strict


class AdaptiveConfig(Strict):
    """When a student is taught no more, told by what its own training shows.

    `gradients`: the cosine between the gradients of the distillation loss and of the cross-entropy,
    taken of each image's logits and averaged over an epoch, lies below the threshold for `patience`
    epochs in a row: teacher and labels then ask for different things.

    `validation`: a line fitted to the validation error of `patience` epochs in a row, all at one
    learning rate below the highest, rises by at least the threshold each epoch: since the rate was
    lowered nothing is gained any more.
    """

    adaptive: Literal["gradients", "validation"]
    earliest: Duration = Field(default=0.2, description="what was measured before does not count")
    patience: Annotated[int, Field(ge=2, le=1_000_000)] = 3
    threshold: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        default=None,
        description="a cosine, default 0.5; or points of validation error an epoch, default 0",
    )

    def form(self) -> dict[str, object]:
        """The canonical form of the rule; the epochs that have it tell since when it holds."""
        return {
            "adaptive": self.adaptive,
            "patience": self.patience,
            "threshold": self.border,
        }

    @property
    def border(self) -> float:
        """The threshold in use. On digits the cosine falls from near 1 to 0.2 to 0.6, sooner where
        a student cannot follow, and hardly below: at 0 nobody would ever stop."""
        if self.threshold is not None:
            return self.threshold
        return 0.5 if self.adaptive == "gradients" else 0.0

    @property
    def text(self) -> str:
        """The rule in words."""
        if self.adaptive == "gradients":
            what = f"its gradient's cosine with that of labels is below {self.border:g}"
        else:
            what = f"validation error after a decay rises by {self.border:g} an epoch or more"
        return f"until {what}, {self.patience} epochs long"
