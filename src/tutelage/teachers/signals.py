"""Signals: from a batch of views to the teacher's logits.

A teacher's logits are rounded through fp16 whether they come from the network or from a bank, and
computed so that an image's do not depend on its neighbours: every signal gives the same student.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from tutelage.config.canonical import digest
from tutelage.config.chain import RESULTS_VERSION
from tutelage.data.stream import Batch, Stream, normalise
from tutelage.data.views import Views
from tutelage.data.world import World
from tutelage.models.adapted import Adapted
from tutelage.models.features import Features
from tutelage.models.predict import padded_forward
from tutelage.teachers.bank import Bank

Signal = Callable[[Batch], Tensor]
"""From a batch of views to logits [B, classes], fp32."""

_CHUNK = 64  # images a forward pass: one size, whatever the batch, keeps its bits
_FP16_MOST = 65504.0


def freeze(model: nn.Module) -> nn.Module:
    """The model in eval mode for good: no gradients, no changing statistics, no dropout."""
    model.eval()
    model.requires_grad_(False)
    return model


class LiveSignal:
    """Asks the teacher's network for every batch. The network is frozen, in eval mode.

    With precision `bf16` a copy is asked whose BatchNorms are folded into the convolutions before
    them, and whose weights are bfloat16; `fp32` is exact.
    """

    def __init__(self, model: nn.Module, precision: str = "fp32") -> None:
        self.model, self._dtype = freeze(model), torch.float32
        self._forward: nn.Module | None = None
        # What others wrote may mix precisions, and may not be traced: it is asked under autocast.
        self._autocast = precision == "bf16" and isinstance(model, Adapted)
        if precision == "bf16" and not self._autocast:
            self.model, self._dtype = fold(self.model).to(torch.bfloat16), torch.bfloat16

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of the batch's views, fp32."""
        return self.half(batch.images).float()

    @torch.no_grad()
    def half(self, images: Tensor) -> Tensor:
        """Logits [B, classes], fp16, of normalised images [B, C, H, W]."""
        images = images.to(self._dtype)
        if self._forward is None:
            self._forward = self._compiled(images[:1]) or self.model
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._autocast):
            logits = padded_forward(self._forward, images, _CHUNK).float()
        return logits.clamp(-_FP16_MOST, _FP16_MOST).half()

    def _compiled(self, image: Tensor) -> nn.Module | None:
        """A folded network with its activations computed inside the convolutions before them: the
        same bits, a tenth to a third sooner. None where that cannot be. `image` is [1, C, H, W]."""
        if not isinstance(self.model, torch.fx.GraphModule) or image.device.type != "cpu":
            return None  # a network that could not be folded may branch, which a trace would lose
        images = image.expand(_CHUNK, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it is deprecated, and nothing does this instead
                traced = torch.jit.trace(self.model, images, check_trace=False)
                return torch.jit.optimize_for_inference(torch.jit.freeze(traced))  # pyright: ignore
        except Exception:  # it may fail in any way, and be gone one day
            return None


class FeatureSignal:
    """Asks the teacher's network for logits and features: those that pass by at the modules
    `paths`, by the name of the loss that compares them.

    They are asked for a whole batch at once. With precision `bf16` under autocast: a folded network
    has other modules. Raises UserError for a path that is none.
    """

    def __init__(
        self, model: nn.Module, paths: Mapping[str, Sequence[str]], precision: str = "fp32"
    ) -> None:
        self.model, self._bf16 = freeze(model), precision == "bf16"
        self._paths = {name: tuple(these) for name, these in paths.items()}
        # A module that several losses read is read once.
        self._read = tuple(dict.fromkeys(chain.from_iterable(self._paths.values())))
        self._features = Features(self.model, self._read)

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of the batch's views, fp32."""
        return self.heard(batch)[0]

    @torch.no_grad()
    def heard(self, batch: Batch) -> tuple[Tensor, Mapping[str, Sequence[Tensor]]]:
        """Logits [B, classes], fp32, and by loss the features in the order of its paths."""
        device = batch.images.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self._bf16):
            logits = self.model(batch.images)
        shown = dict(zip(self._read, self._features.take(), strict=True))
        features = {name: [shown[path] for path in paths] for name, paths in self._paths.items()}
        return logits.float(), features


def fold(model: nn.Module) -> nn.Module:
    """A copy of a model in eval mode, each BatchNorm folded into the convolution before it where
    there is one; equal up to rounding. A model that cannot be traced is copied as it is."""
    try:
        folded = fuse(model)
    except Exception:  # tracing may fail in any way, on code that depends on its input
        return copy.deepcopy(model)
    return folded.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


class TableSignal:
    """Looks the logits up in a table [views, images, classes] of fp16."""

    def __init__(self, table: Tensor) -> None:
        self.table = table

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of the batch's views, fp32."""
        return self.table[batch.view, batch.index].float()


class PlainSignal:
    """Looks up what is said of an image as it is, whatever view of it a batch has; `logits`
    [images, classes], fp16."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of the batch's images, fp32."""
        return self.logits[batch.index].float()


class ScaledSignal:
    """Another signal with its logits multiplied by one factor."""

    def __init__(self, signal: Signal, factor: float) -> None:
        self.signal, self.factor = signal, factor

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of the batch's views, fp32."""
        return self.signal(batch) * self.factor

    def heard(self, batch: Batch) -> tuple[Tensor, Mapping[str, Sequence[Tensor]]]:
        """Logits [B, classes] of the batch's views, and its features as they are."""
        assert isinstance(self.signal, FeatureSignal), "features are asked of whoever shows them"
        logits, features = self.signal.heard(batch)
        return logits * self.factor, features


class MeanSignal:
    """The mean of the logits of several signals."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        self.signals = signals

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of the batch's views, fp32."""
        return torch.stack([signal(batch) for signal in self.signals]).mean(0)


class PartsSignal:
    """Of each image the logits of one of several signals: that of its part.

    `part` int64 [N] are the places in `signals` by the image's place in the training images.
    """

    def __init__(self, signals: Sequence[Signal], part: Tensor) -> None:
        self.signals, self.part = signals, part

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of the batch's views, fp32."""
        every = torch.stack([signal(batch) for signal in self.signals])
        return every[self.part[batch.index], torch.arange(len(batch.index), device=every.device)]


@dataclass(eq=False)
class EpochSignal:
    """Logits of one stream, epoch by epoch: asked of the network once, then read from the bank.

    Whoever comes first through an epoch asks the network and leaves the logits [images, classes]
    of the epoch behind; `key` names teacher and stream.
    """

    live: LiveSignal
    bank: Bank
    key: str
    images: int
    classes: int
    stream: Stream
    _epoch: int = -1
    _logits: Tensor = field(default_factory=lambda: torch.empty(0))
    _known: list[bool] = field(default_factory=list)  # of each batch; a device is never waited for

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of the batch's views, fp32."""
        if batch.epoch != self._epoch:
            self._open(batch.epoch, batch.images.device)
        if not self._known[batch.number]:
            self._logits.index_copy_(0, batch.index, self.live.half(batch.images))
            self._known[batch.number] = True
            if all(self._known):
                self.bank.keep(self._name(batch.epoch), self._logits.cpu().numpy())
        return self._logits.index_select(0, batch.index).float()

    def _open(self, epoch: int, device: torch.device) -> None:
        shape = (self.images, self.classes)
        kept = self.bank.load(self._name(epoch), shape)
        logits = np.zeros(shape, np.float16) if kept is None else np.array(kept)
        self._epoch, self._logits = epoch, torch.from_numpy(logits).to(device)
        self._known = [kept is not None] * self.stream.batches_per_epoch

    def _name(self, epoch: int) -> str:
        return digest(["epoch", RESULTS_VERSION, self.key, epoch])


@dataclass(frozen=True)
class Table:
    """The logits of one teacher on all views of one training set, in a bank."""

    bank: Bank
    weights: str
    world: World
    views: Views
    device: str
    precision: str = "fp32"

    def load(self, model: nn.Module) -> Tensor:
        """The table [views, images, classes], fp16; computed and kept by whoever is first."""
        parts = [self.weights, self.world.training_fingerprint, self.views.name, self.device]
        key = digest(["table", RESULTS_VERSION, *parts, self.precision])
        shape = (self.views.count, len(self.world.train.labels), self.world.classes)
        table = self.bank.load(key, shape)
        if table is None:
            with self.bank.lock(key):
                table = self.bank.load(key, shape)
                if table is None:
                    table = self._compute(LiveSignal(model, self.precision))
                    self.bank.keep(key, table)
        return torch.from_numpy(np.array(table)).to(self.device)

    def _compute(self, live: LiveSignal) -> np.ndarray:
        pixels = torch.from_numpy(np.ascontiguousarray(self.world.train.images)).to(self.device)
        rows = []
        for view in range(self.views.count):
            logits = []
            for chunk in pixels.split(_CHUNK * 16):
                ids = torch.full((len(chunk),), view, dtype=torch.int64, device=chunk.device)
                images = normalise(self.views.apply(chunk, ids), self.world.mean, self.world.std)
                logits.append(live.half(images).cpu())
            rows.append(torch.cat(logits))
        return torch.stack(rows).numpy()
