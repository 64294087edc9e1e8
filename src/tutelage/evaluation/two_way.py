"""What the choice of test images adds to the uncertainty of a difference.

A t interval over replicates speaks of other replicates on the same test images. A claim on images
in general has two kinds of units, replicates and images, each drawn from many (crossed random
effects; Searle, Casella & McCulloch 1992, *Variance components*, chapter 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class MeanSquares:
    """The two-way table of a paired difference, one value for each replicate and test image:
    its mean, its size, and the mean squares of replicates, images, and the rest."""

    mean: float
    replicates: int
    images: int
    of_replicates: float
    of_images: float
    of_rest: float

    @classmethod
    def of(cls, values: ArrayLike) -> MeanSquares:
        """From values [replicates, images]. Raises ValueError for fewer than two of either."""
        table = np.asarray(values, dtype=np.float64)
        replicates, images = table.shape
        if min(replicates, images) < 2:
            raise ValueError(f"two of each are needed, not {replicates} and {images}")
        mean, rows, columns = table.mean(), table.mean(1), table.mean(0)
        rest = ((table - rows[:, None] - columns + mean) ** 2).sum()
        return cls(
            float(mean), replicates, images,
            of_replicates=images * float(rows.var(ddof=1)),
            of_images=replicates * float(columns.var(ddof=1)),
            of_rest=float(rest) / ((replicates - 1) * (images - 1)),
        )  # fmt: skip

    @property
    def image_variance(self) -> float:
        """The variance that the choice of images adds to the mean: (MS_i - MS_e) / (R I), no less
        than zero. Beside it stands MS_r / (R I), the variance of the replicates' means over R."""
        excess = (self.of_images - self.of_rest) / (self.replicates * self.images)
        return max(0.0, excess)

    @property
    def freedom(self) -> float:
        """The degrees of freedom of the two together (Satterthwaite 1946, Biometrics Bulletin 2);
        those of the replicates where images add nothing."""
        r, i = self.replicates - 1, self.images - 1
        if self.image_variance == 0.0:
            return float(r)
        sum_of_all = self.of_replicates + self.of_images - self.of_rest
        spread = self.of_replicates**2 / r + self.of_images**2 / i + self.of_rest**2 / (r * i)
        return sum_of_all**2 / spread

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for the results document."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MeanSquares:
        """The inverse of `to_dict`."""
        return cls(**values)
