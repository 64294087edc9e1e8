"""Several small networks of one kind trained as one: their convolutions become grouped ones.

A step of a tiny network costs more calls than computing. Eight of them side by side make one
network of eight groups, whose step costs little more than that of one. There are always eight
groups, the empty ones being zeros, so that a network's numbers do not depend on how many others,
or which, it is trained with.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tutelage.config.chain import FUSED_GROUP
from tutelage.training.trainee import Trainee

GROUP = FUSED_GROUP
"""Networks in one. Eight of width 8 to 16 fill the vector units of a core; more gain nothing."""


class GroupedLinear(nn.Module):
    """One linear layer a group: features [B, GROUP * W] become logits [GROUP, B, classes]."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, features: Tensor) -> Tensor:
        groups, _, width = self.weight.shape
        features = features.view(len(features), groups, width).transpose(0, 1)
        return torch.baddbmm(self.bias[:, None], features, self.weight.transpose(1, 2))


class FusedNetwork:
    """Up to GROUP networks of one architecture as one network, sharing memory with it.

    The architecture consists of Conv2d without bias, BatchNorm2d, Linear, and what acts on each
    channel alone. While fused, the parameters and statistics of `models` are views into the fused
    ones; `release` gives each its own memory back. `parameters` and `gradient` are flat vectors in
    one order, in which `owner` int64 [N] says which group each number belongs to.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        if not 0 < len(models) <= GROUP:
            raise ValueError(f"1 to {GROUP} networks can be fused, not {len(models)}")
        self.models = list(models)
        self.module = _grouped(self.models)
        self._leaves = list(self.module.parameters())
        self.parameters = torch.cat([_flat(leaf.detach()) for leaf in self._leaves])
        self.owner = torch.cat(
            [torch.arange(GROUP).repeat_interleave(leaf.numel() // GROUP) for leaf in self._leaves]
        )
        start = 0
        for leaf in self._leaves:
            leaf.data = _unflat(self.parameters[start : start + leaf.numel()], leaf)
            start += leaf.numel()
        self._share()

    def gradient(self) -> Tensor:
        """The gradients of the last backward pass, float [N]; they are taken off the network."""
        flat = torch.cat([_flat(leaf.grad) for leaf in self._leaves if leaf.grad is not None])
        for leaf in self._leaves:
            leaf.grad = None
        return flat

    def views(self, flat: Tensor, group: int) -> list[Tensor]:
        """The part of a flat vector that belongs to a group, shaped as its model's parameters."""
        parts, start = [], 0
        for leaf, own in zip(self._leaves, self.models[group].parameters(), strict=True):
            begin = start + group * own.numel()
            parts.append(_unflat(flat[begin : begin + own.numel()], own))
            start += leaf.numel()
        return parts

    def release(self) -> None:
        """Gives every model memory of its own, with the values it has now."""
        for model in self.models:
            for parameter in model.parameters():
                parameter.data = parameter.data.clone(memory_format=torch.preserve_format)
            for module in model.modules():
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = buffer.clone()

    def count_batches(self, batches: int) -> None:
        """Adds to the batches that each model's BatchNorm layers have seen."""
        for model in self.models:
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d) and module.num_batches_tracked is not None:
                    module.num_batches_tracked.add_(batches)

    def _share(self) -> None:
        for group, model in enumerate(self.models):
            views = self.views(self.parameters, group)
            for parameter, view in zip(model.parameters(), views, strict=True):
                parameter.data = view
            for name, module in model.named_modules():
                if isinstance(module, nn.BatchNorm2d):
                    fused, width = self.module.get_submodule(name), module.num_features
                    part = slice(group * width, (group + 1) * width)
                    for statistic in ("running_mean", "running_var"):
                        module._buffers[statistic] = getattr(fused, statistic)[part]


def stack_images(images: Sequence[Tensor]) -> Tensor:
    """Images [B, C, H, W] of each model as those of the fused network, [B, GROUP * C, H, W], in
    channels_last memory; groups without a model see black."""
    first = images[0].permute(0, 2, 3, 1)
    empty = [first.new_zeros(()).expand_as(first)] * (GROUP - len(images))
    stacked = torch.stack([*(part.permute(0, 2, 3, 1) for part in images), *empty], dim=3)
    return stacked.flatten(3).permute(0, 3, 1, 2)


class FlatSgd:
    """Stochastic gradient descent with momentum on the flat vectors of a fused network.

    The same formula as torch.optim.SGD: g = gradient + weight_decay * p; v = momentum * v + g;
    p = p - lr * (g + momentum * v), or lr * v without Nesterov. The learning rate may differ
    between groups. Momenta come from the trainees' own optimizers, which hold views of them.
    """

    def __init__(self, network: FusedNetwork, trainees: Sequence[Trainee]) -> None:
        group = trainees[0].optimizer.param_groups[0]
        self.momentum, self.nesterov = group["momentum"], group["nesterov"]
        self.weight_decay, self._network = group["weight_decay"], network
        self.velocity = torch.zeros_like(network.parameters)
        self._rate = torch.zeros_like(network.parameters)
        for number, trainee in enumerate(trainees):
            views = network.views(self.velocity, number)
            for parameter, view in zip(trainee.model.parameters(), views, strict=True):
                state = trainee.optimizer.state[parameter]
                if state.get("momentum_buffer") is not None:
                    view.copy_(state["momentum_buffer"])
                if self.momentum:
                    state["momentum_buffer"] = view

    def set_rates(self, rates: Sequence[float]) -> None:
        """The learning rate of each trainee from now on."""
        padded = torch.tensor([*rates, *[0.0] * (GROUP - len(rates))], dtype=self._rate.dtype)
        self._rate = padded[self._network.owner]

    @torch.no_grad()
    def step(self) -> None:
        """One update from the gradients of the network."""
        gradient = self._network.gradient()
        gradient.add_(self._network.parameters, alpha=self.weight_decay)
        update = gradient
        if self.momentum:
            self.velocity.mul_(self.momentum).add_(gradient)
            update = self.velocity
            if self.nesterov:
                update = gradient.add_(self.velocity, alpha=self.momentum)
        self._network.parameters.sub_(update * self._rate)

    def release(self, trainees: Sequence[Trainee]) -> None:
        """Gives every trainee's optimizer memory of its own, with the values it has now."""
        for trainee in trainees:
            for state in trainee.optimizer.state.values():
                if state.get("momentum_buffer") is not None:
                    state["momentum_buffer"] = state["momentum_buffer"].clone()


def _grouped(models: list[nn.Module]) -> nn.Module:
    """A network of GROUP groups, the first of them `models`, the others zeros."""
    fused = copy.deepcopy(models[0])
    for name, module in list(fused.named_modules()):
        peers = [model.get_submodule(name) for model in models]
        if isinstance(module, nn.Conv2d):
            made: nn.Module = _grouped_convolution(module, peers)
        elif isinstance(module, nn.BatchNorm2d):
            made = _grouped_norm(module, peers)
        elif isinstance(module, nn.Linear):
            made = GroupedLinear(
                torch.stack(_padded(peers, "weight")), torch.stack(_padded(peers, "bias"))
            )
        elif next(module.parameters(recurse=False), None) is not None:
            raise TypeError(f"{type(module).__name__} cannot be fused")
        else:
            continue
        parent, _, leaf = name.rpartition(".")
        setattr(fused.get_submodule(parent), leaf, made)
    return fused


def _grouped_convolution(module: nn.Conv2d, peers: list[nn.Module]) -> nn.Conv2d:
    if module.bias is not None or module.groups != 1:
        raise TypeError("a convolution with bias or groups cannot be fused")
    made = nn.Conv2d(
        module.in_channels * GROUP, module.out_channels * GROUP, module.kernel_size,  # pyright: ignore[reportArgumentType]
        module.stride, module.padding, module.dilation, GROUP, bias=False,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    weight = torch.cat(_padded(peers, "weight"))
    made.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
    return made


def _grouped_norm(module: nn.BatchNorm2d, peers: list[nn.Module]) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(module.num_features * GROUP, module.eps, module.momentum)
    for name in ("weight", "bias"):
        setattr(made, name, nn.Parameter(torch.cat(_padded(peers, name))))
    for name in ("running_mean", "running_var"):
        made._buffers[name] = torch.cat(_padded(peers, name))
    made.num_batches_tracked = None  # counted by the models, see `count_batches`
    return made


def _padded(peers: list[nn.Module], name: str) -> list[Tensor]:
    """That tensor of each peer, then zeros for the empty groups."""
    tensors = [getattr(peer, name).detach() for peer in peers]
    return tensors + [torch.zeros_like(tensors[0])] * (GROUP - len(tensors))


def _flat(tensor: Tensor) -> Tensor:
    """The numbers of a tensor in the order in which channels_last memory holds them."""
    return (tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor).reshape(-1)


def _unflat(flat: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_flat`, without a copy: `flat` in the shape of `like`."""
    if like.dim() != 4:
        return flat.view(like.shape)
    outputs, inputs, height, width = like.shape
    return flat.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
