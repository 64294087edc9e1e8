"""What the tests of single networks share."""

import pytest
import torch
from torch import nn


@pytest.fixture
def disturbed():
    """A function: the network in evaluation mode, every BatchNorm and bias made to do something."""

    def change(model: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(0)

        def between(tensor, low, high):
            tensor.detach().uniform_(low, high, generator=generator)

        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                between(module.weight, 0.5, 1.5)
                between(module.running_var, 0.5, 1.5)
                between(module.running_mean, -0.2, 0.2)
            if getattr(module, "bias", None) is not None:
                between(module.bias, -0.2, 0.2)
        return model.eval()

    return change
