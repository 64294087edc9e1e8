"""Whether an exported file computes what the original does, on the images of the test set."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.data.world import Split
from tutelage.errors import UserError
from tutelage.evaluation.metrics import metrics
from tutelage.exporting.formats import Images, Logits, Runner

TOLERANCE = 1e-4
"""The largest difference of a logit that is put down to rounding in float32."""

RELATIVE = 1e-6
"""The same as a share of the largest logit, where that is over 100: float32 has seven digits."""

INT8_MARGIN = 0.5
"""Points of test error that int8 may cost before the card says that it costs them."""

_BATCH = 64


@dataclass(frozen=True)
class Check:
    """An export beside the original, on `images` test images.

    `difference` is the largest of any logit, absolute, and `allowed` how large it may be where the
    export is of float32; `same` the share of images for which both
    predict the same class, percent; `error` and `original` are test errors, percent. `gained` and
    `lost` count the images on which only the export, or only the original, is right.
    """

    images: int
    difference: float
    allowed: float
    same: float
    error: float
    original: float
    gained: int
    lost: int

    @property
    def cost(self) -> float:
        """Points of error that the export has more than the original."""
        return self.error - self.original

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self) | {"cost": self.cost}


def pixels_of(split: Split, chosen: NDArray[np.intp] | slice) -> Images:
    """Some images of a split as an exported student takes them: float32 [N, C, H, W], 0 to 1."""
    pixels = np.asarray(split.images[chosen])
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def run_on(runner: Runner, split: Split) -> Logits:
    """The logits [N, classes] of an export on all images of `split`, in order."""
    starts = range(0, len(split), _BATCH)
    return np.concatenate([runner(pixels_of(split, slice(s, s + _BATCH))) for s in starts])


def compare(logits: Logits, original: Logits, labels: NDArray[np.int64]) -> Check:
    """An export's logits [N, classes] beside the original's, on images with these labels [N].

    Raises ValueError, as `metrics` does, for wrong shapes and logits that are not finite.
    """
    ours, theirs = logits.argmax(axis=1), original.argmax(axis=1)
    return Check(
        images=len(labels),
        difference=float(np.abs(logits.astype(np.float64) - original).max()),
        allowed=max(TOLERANCE, RELATIVE * float(np.abs(original).max())),
        same=100.0 * float(np.mean(ours == theirs)),
        error=metrics(logits, labels)["error"],
        original=metrics(original, labels)["error"],
        gained=int(np.sum((ours == labels) & (theirs != labels))),
        lost=int(np.sum((ours != labels) & (theirs == labels))),
    )


def check_exact(name: str, check: Check) -> None:
    """UserError where a float32 export differs by more than rounding."""
    if not check.difference <= check.allowed:
        raise UserError(
            f"the exported file computes something else: its logits differ by up to "
            f"{check.difference:.2g}, and {check.allowed:.2g} is allowed; nothing was written.",
            where=name,
            fix="Leave this format out (--format), and tell the authors which model it was.",
        )
