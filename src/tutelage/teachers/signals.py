"""Signals: from a batch of views to the teacher's logits.

A teacher's logits are rounded through fp16 whether they come from the network or from a table, so
that both give the same student. A table is worth its room when views are few: it costs one forward
pass for each view of each image, a live teacher one for each image of each epoch.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.config.canonical import digest
from tutelage.config.chain import RESULTS_VERSION
from tutelage.data.stream import Batch, normalise
from tutelage.data.views import Views
from tutelage.data.world import World
from tutelage.models.predict import padded_forward
from tutelage.store import Store, atomic_write, read_if_there

_CHUNK = 64  # images a forward pass: one size, whatever the batch, keeps its bits
_MOST_BYTES = 512 * 2**20
_FP16_MOST = 65504.0
_CHECKSUM_BYTES = hashlib.sha256().digest_size


class LiveSignal:
    """Asks the teacher's network for every batch. The network is frozen, in eval mode."""

    def __init__(self, model: nn.Module, factor: float = 1.0) -> None:
        self.model, self.factor = freeze(model), factor

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of the batch's views, fp32."""
        return _half(padded_forward(self.model, batch.images, _CHUNK)).float() * self.factor


class TableSignal:
    """Looks the logits up in a table [views, images, classes] of fp16."""

    def __init__(self, table: Tensor, factor: float = 1.0) -> None:
        self.table, self.factor = table, factor

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [B, classes] of the batch's views, fp32."""
        return self.table[batch.view, batch.index].float() * self.factor


def freeze(model: nn.Module) -> nn.Module:
    """The model in eval mode for good: no gradients, no changing statistics, no dropout."""
    model.eval()
    model.requires_grad_(False)
    return model


def table_pays(count: int, images: int, classes: int, epochs: int) -> bool:
    """Whether a table of `count` views costs less than asking the teacher in each of `epochs`."""
    return count <= epochs and count * images * classes * 2 <= _MOST_BYTES


@dataclass(frozen=True)
class Table:
    """Where the logits of one teacher on all views of one training set are kept."""

    store: Store
    weights: str
    world: World
    views: Views
    device: str

    def load(self, model: nn.Module) -> Tensor:
        """The table [views, images, classes], fp16; computed and written by whoever is first."""
        parts = [self.weights, self.world.training_fingerprint, self.views.name, self.device]
        key = digest(["table", RESULTS_VERSION, *parts])
        path = self.store.cache_file("tables", f"{key}.table")
        shape = (self.views.count, len(self.world.train.labels), self.world.classes)
        table = _read(path, shape)
        if table is None:
            with self.store.lock(f"table-{key}"):
                table = _read(path, shape)
                if table is None:
                    table = self._compute(freeze(model))
                    buffer = io.BytesIO()
                    np.save(buffer, table, allow_pickle=False)
                    data = buffer.getvalue()
                    atomic_write(path, data + hashlib.sha256(data).digest())
        return torch.from_numpy(table).to(self.device)

    @torch.no_grad()
    def _compute(self, model: nn.Module) -> np.ndarray:
        pixels = torch.from_numpy(np.ascontiguousarray(self.world.train.images)).to(self.device)
        rows = []
        for view in range(self.views.count):
            logits = []
            for chunk in pixels.split(_CHUNK * 16):
                ids = torch.full((len(chunk),), view, dtype=torch.int64, device=chunk.device)
                images = normalise(self.views.apply(chunk, ids), self.world.mean, self.world.std)
                logits.append(_half(padded_forward(model, images, _CHUNK)).cpu())
            rows.append(torch.cat(logits))
        return torch.stack(rows).numpy()


def _half(logits: Tensor) -> Tensor:
    return logits.clamp(-_FP16_MOST, _FP16_MOST).half()


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The table in `path`, or None when it is missing or not what was written."""
    whole = read_if_there(path) or b""
    data, checksum = whole[:-_CHECKSUM_BYTES], whole[-_CHECKSUM_BYTES:]
    if hashlib.sha256(data).digest() != checksum:
        return None
    table = np.load(io.BytesIO(data), allow_pickle=False)
    return table if table.shape == shape and table.dtype == np.float16 else None
