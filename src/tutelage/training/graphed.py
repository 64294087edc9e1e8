"""One step as one call: recorded once as a CUDA graph, replayed for every batch.

A step of a small student on a GPU is hundreds of kernels of microseconds, and starting them costs
more than running them. A graph starts all of them at once. It reads and writes fixed places in
memory: what changes from step to step is copied into them before.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from tutelage.config.chain import EpochStep, Start
from tutelage.data.stream import Batch
from tutelage.training.stepper import PARTS, EagerStepper, Signal

_REHEARSALS = 3  # steps before recording, in which libraries set up what they need


class GraphedStepper:
    """Trains `model` batch by batch with the step of EagerStepper, recorded.

    The optimizer is one that can be captured (see `build_optimizer`). Each stepper works on a
    stream of its own, so that several go on side by side while one loop feeds them; a teacher is
    asked on the stream of the caller. Batches are all of one size. On a CPU, where nothing can be
    recorded, the same step is executed instead.

    Raises ValueError for mixed images and for an average of the weights: what they do changes with
    every step.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, start: Start) -> None:
        if start.mixup or start.cutmix or start.ema or start.swa:
            raise ValueError("a step with mixup, cutmix or an average of weights is not graphed")
        self._eager, self._optimizer = EagerStepper(model, optimizer, start), optimizer
        device = torch.device(start.device)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._ce_weight, self._kd_weight = torch.zeros(2, device=device)
        self._sums = torch.zeros(len(PARTS), dtype=torch.float64, device=device)
        self._batch: Batch | None = None
        self._target: Tensor | None = None
        self._steps: dict[str | None, Callable[[], None]] = {}  # by loss; None: labels alone

    def begin(self, step: EpochStep, signal: Signal | None) -> None:
        """Sets what the coming epoch does; `signal` is the teacher of an epoch that distils."""
        self._wait()
        self._eager.begin(step, signal)
        self._loss, self._signal = (step.loss, signal) if step.distils else (None, None)
        self._ce_weight.fill_(step.ce_weight)
        self._kd_weight.fill_(step.kd_weight)
        self._sums.zero_()
        # What the step reads lies in one place, whatever epoch it is.
        self._eager.weights = (self._ce_weight, self._kd_weight)
        self._eager.signal = self._heard if self._signal is not None else None

    def step(self, batch: Batch) -> None:
        """One update, begun: it is waited for by the next one, and by `figures`."""
        target = self._signal(batch) if self._signal is not None else None
        self._wait()  # until the step before has read its batch
        self._take(batch, target)
        if self._loss not in self._steps:
            self._steps[self._loss] = self._recorded()
        self._steps[self._loss]()

    def figures(self) -> Tensor:
        """The figures of stepper.PARTS summed over the batches since `begin`, float64 [5].

        Whatever the caller does next on the device, comes after the last step.
        """
        self._wait()
        return self._sums.clone()

    def _wait(self) -> None:
        """Lets the caller's stream go on only where this one is done. The CPU does not wait."""
        if self._stream is not None:
            torch.cuda.current_stream().wait_stream(self._stream)

    def _take(self, batch: Batch, target: Tensor | None) -> None:
        """Copies a batch, and what its teacher says, to where the step reads them."""
        if self._batch is None:
            images, labels = batch.images.clone(), batch.labels.clone()
            self._batch = replace(batch, images=images, labels=labels, pixels=torch.empty(0))
        self._batch.images.copy_(batch.images)
        self._batch.labels.copy_(batch.labels)
        if target is not None:
            if self._target is None:
                self._target = target.clone()
            self._target.copy_(target)

    def _heard(self, batch: Batch) -> Tensor:
        assert self._target is not None, "whoever distils has heard a teacher"
        return self._target

    def _update(self) -> None:
        """The step that is recorded: it reads and writes nothing but what stays in its place."""
        assert self._batch is not None, "a batch was taken"
        self._sums += self._eager.step(self._batch).double()

    def _recorded(self) -> Callable[[], None]:
        """What executes `_update` as it is now."""
        if self._stream is None:
            self._rehearse()
            return self._update
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._rehearse()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            self._update()
        return partial(self._replay, graph)

    def _replay(self, graph: torch.cuda.CUDAGraph) -> None:
        assert self._stream is not None, "graphs are of devices with streams"
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            graph.replay()

    def _rehearse(self) -> None:
        """Some steps that leave nothing behind but memory for the state of the optimizer.

        A state that was not there before becomes zero: a momentum of zero is none, and the moments
        of AdamW, with the number of its steps, begin there.
        """
        model, states = self._eager.model, self._optimizer.state
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        before = {
            parameter: {name: value.clone() for name, value in values.items()}
            for parameter, values in states.items()
        }
        sums = self._sums.clone()
        devices = [] if self._stream is None else [self._stream.device]
        with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
            # AdamW warns of steps that are not captured although they could be.
            warnings.filterwarnings("ignore", message=".*capturable=True")
            for _ in range(_REHEARSALS):
                self._update()
        for name, value in model.state_dict().items():
            value.copy_(weights[name])
        for parameter, values in states.items():
            for name, value in values.items():
                known = before.get(parameter, {}).get(name)
                value.zero_() if known is None else value.copy_(known)
        self._sums.copy_(sums)
