"""The linear layer at the end of a network."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

_ALIGNED = 4  # float32 numbers: 16 bytes


class Head(nn.Linear):
    """A linear layer whose logits of an image do not depend on the image's place in the batch.

    On processors the product of matrices rounds a row according to where it starts in memory,
    where rows are no multiple of 16 bytes. So features and weights are filled up with zeros.
    Features [B, in_features] become logits [B, out_features].
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.in_features % _ALIGNED == 0:
            return super().forward(input)
        missing = (0, -self.in_features % _ALIGNED)
        return F.linear(F.pad(input, missing), F.pad(self.weight, missing), self.bias)
