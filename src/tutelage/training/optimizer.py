"""Optimizers from their configuration, and their state as named arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import nn

from tutelage.config.schema import AdamW, Sgd


def build_optimizer(
    config: Sgd | AdamW, parameters: Iterable[nn.Parameter], *, graphed: bool = False
) -> torch.optim.Optimizer:
    """The optimizer that `config` describes; `set_rate` sets its learning rate.

    With `graphed` its step can be captured in a CUDA graph: the rate is then a number on the
    device of the parameters, and the step one kernel that reads it there.
    """
    parameters = list(parameters)
    rate, how = config.lr, {"foreach": True}
    if graphed:
        rate, how = torch.tensor(config.lr, device=parameters[0].device), {"fused": True}
    if isinstance(config, Sgd):
        return torch.optim.SGD(
            parameters,
            lr=rate,
            momentum=config.momentum,
            nesterov=config.nesterov and config.momentum > 0,
            weight_decay=config.weight_decay,
            **how,
        )
    return torch.optim.AdamW(
        parameters,
        lr=rate,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        capturable=graphed,
        **how,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate; where it is a tensor, in place, as a captured step reads it there."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """The optimizer's state as arrays named `<number of the parameter>.<name of the state>`."""
    return {
        f"{number}.{name}": value.detach().cpu().numpy().copy()
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def load_optimizer_arrays(
    optimizer: torch.optim.Optimizer, arrays: Mapping[str, np.ndarray]
) -> None:
    """The inverse of `optimizer_arrays`. Each state lies in memory as its parameter does."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in arrays.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = torch.from_numpy(np.array(value))
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
