"""A stop of the distillation that is not set beforehand but found in training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tutelage.config.fields import Duration, Strict


class AdaptiveConfig(Strict):
    """When a student is taught no more, told by what its own training shows.

    `gradients`: the cosine between the gradients of the distillation loss and of the cross-entropy,
    taken of each image's logits and averaged over an epoch, lies below the threshold for `patience`
    epochs in a row: what the teacher asks for and what the labels ask for are then opposed.

    `validation`: a line fitted to the validation error of `patience` epochs in a row, all at one
    learning rate below the highest, rises by at least the threshold each epoch: since the rate was
    lowered nothing is gained any more.
    """

    adaptive: Literal["gradients", "validation"]
    earliest: Duration = Field(default=0.2, description="what was measured before does not count")
    patience: Annotated[int, Field(ge=2, le=1_000_000)] = 3
    threshold: Annotated[float, Field(allow_inf_nan=False)] = Field(
        default=0.0, description="a cosine, or points of validation error an epoch"
    )

    def form(self) -> dict[str, object]:
        """The canonical form of the rule; the epochs that have it tell since when it holds."""
        return {
            "adaptive": self.adaptive,
            "patience": self.patience,
            "threshold": self.threshold,
        }

    @property
    def text(self) -> str:
        """The rule in words."""
        if self.adaptive == "gradients":
            what = f"its gradient's cosine with that of labels is below {self.threshold:g}"
        else:
            what = f"validation error after a decay rises by {self.threshold:g} an epoch or more"
        return f"until {what}, {self.patience} epochs long"
