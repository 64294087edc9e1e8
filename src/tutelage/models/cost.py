"""What a network costs: parameters and multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from tutelage.models.adapted import Adapted
from tutelage.models.build import Shape, new_model


@dataclass(frozen=True)
class Cost:
    """The size of a network.

    `parameters` counts the trained numbers (not BatchNorm's running statistics); `macs` the
    multiply-adds of one image's forward pass in convolutions and linear layers, and of networks
    from elsewhere in all products of matrices, such as those of attention.
    """

    parameters: int
    macs: int


@lru_cache(maxsize=1024)
def model_cost(name: str, shape: Shape, classes: int) -> Cost:
    """The cost of the network `name` on images of `shape` (H, W, C), from one forward pass.

    Half of what torch.utils.flop_counter finds, without the seconds that this takes to import.
    Raises UserError for a name that is no model, and for images too small for the network.
    """
    model = new_model(name, shape, classes).eval()
    if isinstance(model, Adapted):
        return _counted(model, shape)
    macs = 0

    def count(module: nn.Conv2d | nn.Linear, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        macs += module.weight.numel() * output[0, 0].numel()  # weights a channel x positions

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    height, width, channels = shape
    with torch.inference_mode():  # not on the meta device, which first imports sympy: a second
        model(torch.zeros(1, channels, height, width))
    return Cost(sum(parameter.numel() for parameter in model.parameters()), macs)


def _counted(model: nn.Module, shape: Shape) -> Cost:
    from torch.utils.flop_counter import FlopCounterMode

    height, width, channels = shape
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, channels, height, width))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters, counter.get_total_flops() // 2)
