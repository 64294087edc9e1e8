"""Streams: the batches of every epoch and their views, a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.data.crop_views import CropViews
from tutelage.data.image_files import ImageFiles, evaluated
from tutelage.data.mixing import Mixed, Mixer
from tutelage.data.views import AnyViews
from tutelage.data.world import NO_LABEL, Split
from tutelage.errors import UserError

# Batches are made several at a time, about so many bytes of pixels: enough to make calls cheap,
# little enough to stay in a processor's cache; on other devices a call costs more, and there is no
# such cache. It changes no number.
_BYTES_AT_ONCE, _BYTES_AT_ONCE_ELSEWHERE = 1 << 20, 1 << 24


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step sees.

    `index` int64 [B] are positions in the split, `view` int64 [B] which view of each image;
    `pixels` uint8 [B, H, W, C] are those views and `images` float32 [B, C, H, W] the same,
    normalised, in channels_last memory; `labels` int64 [B]; `epoch` is the one it belongs to, and
    `number` (0, 1, ...) its place there. Where images are mixed, `pixels` and `images` hold the
    mixture, and `mixed` says of what. Where some images have no label, the first `labelled` are
    those that have one.
    """

    index: Tensor
    view: Tensor
    pixels: Tensor
    images: Tensor
    labels: Tensor
    epoch: int = 0
    mixed: Mixed | None = None
    number: int = 0
    labelled: int | None = None


def normalise(
    pixels: Tensor, mean: NDArray[np.float32] | Tensor, std: NDArray[np.float32] | Tensor
) -> Tensor:
    """(pixels / 255 - mean) / std, with uint8 [B, H, W, C] becoming float32 [B, C, H, W].

    `mean` and `std` are float32 [C], of pixels / 255. The result is in channels_last memory.
    """
    batch, height, width, channels = pixels.shape
    offset, scale = (
        (torch.as_tensor(figure, device=pixels.device) * 255).repeat(height * width)
        for figure in (mean, std)
    )
    values = pixels.reshape(batch, height * width * channels).to(torch.float32)
    values.sub_(offset).div_(scale)
    return values.view(batch, height, width, channels).permute(0, 3, 1, 2)


class Stream:
    """The training batches of `split`, epoch by epoch.

    Images without a label take half of each batch, or less where there are so few that an epoch
    would show one twice; an epoch is as long as one of the images with a label alone.

    Every epoch has an order and views of its own, shows each image at most once, and drops an
    incomplete last batch. `mean` and `std` float32 [C] normalise (see `normalise`). A `mixer` mixes
    the images of each batch with each other. Pixels stay on `device`. Raises UserError when a batch
    is larger than the split, or the images too small for the views.
    """

    def __init__(
        self,
        split: Split,
        views: AnyViews,
        batch_size: int,
        seed: int,
        mean: NDArray[np.float32],
        std: NDArray[np.float32],
        device: str | torch.device = "cpu",
        mixer: Mixer | None = None,
    ) -> None:
        with_label = np.flatnonzero(split.labels != NO_LABEL)
        if batch_size > len(with_label):
            raise UserError(
                f"a batch of {batch_size} is larger than the {len(with_label)} training images.",
                where="recipe.batch_size",
                fix=f"Set it to {len(with_label)} or less.",
            )
        height, width, channels = split.images.shape[1:]
        views.check((height, width, channels))
        self._split, self.views, self.batch_size, self.seed = split, views, batch_size, seed
        self.mixer, self._device = mixer, torch.device(device)
        self.labelled = labelled_in_batch(batch_size, len(with_label), len(split))
        self.batches_per_epoch = len(with_label) // batch_size
        self._with_label, self._without = with_label, np.flatnonzero(split.labels == NO_LABEL)
        if mixer is not None and self.labelled < batch_size:
            raise ValueError("labels are mixed, and some images have none")
        # Of streamed images no more than some batches are in memory.
        self._files = split.images if isinstance(split.images, ImageFiles) else None
        self._pixels, self._labels = _resident(split, self._device)
        self._mean, self._std = (_tensor(figures, self._device) for figures in (mean, std))
        on_cpu = self._device.type == "cpu"
        most = _BYTES_AT_ONCE if on_cpu else _BYTES_AT_ONCE_ELSEWHERE
        self._at_once = batch_size * max(1, most // (batch_size * height * width * channels))

    @property
    def _known(self) -> int | None:
        return None if self.labelled == self.batch_size else self.labelled

    @property
    def key(self) -> tuple[int, str, int, int, Mixer | None]:
        """Equal for streams that give the same batches."""
        return id(self._split), self.views.name, self.batch_size, self.seed, self.mixer

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch (0, 1, ...), whatever was asked for before."""
        rng = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        used = self.batches_per_epoch * self.batch_size
        order = self._order(rng)
        drawn = self.views.draw(rng, used)
        index, view = self._moved(order), self._moved(drawn)
        # A generator of its own: order and views do not depend on whether images are mixed.
        lots = np.random.Generator(np.random.PCG64([self.seed, epoch, 1]))
        if self._files is not None:
            for batch in self._streamed(self._files, order, drawn, epoch):
                yield batch if self.mixer is None else self._mix(batch, self.mixer, lots)
            return
        for start in range(0, used, self._at_once):
            part = slice(start, start + self._at_once)
            first = start // self.batch_size
            for batch in self._batches(index[part], view[part], epoch, first):
                yield batch if self.mixer is None else self._mix(batch, self.mixer, lots)

    def _order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The places of the images of an epoch, batch after batch."""
        count = self.batches_per_epoch
        if self.labelled == self.batch_size:
            return rng.permutation(len(self._labels))[: count * self.batch_size]
        parts = (self._with_label, self.labelled), (self._without, self.batch_size - self.labelled)
        drawn = [rng.permutation(own)[: count * each].reshape(count, each) for own, each in parts]
        return np.concatenate(drawn, axis=1).reshape(-1)

    def _moved(self, drawn: NDArray[np.int64]) -> Tensor:
        """What was drawn, on the device; nothing waits until it is there."""
        values = torch.from_numpy(drawn)
        if self._device.type == "cuda":
            values = values.pin_memory()
        return values.to(self._device, non_blocking=True)

    def _batches(self, index: Tensor, view: Tensor, epoch: int, first: int) -> Iterator[Batch]:
        pixels = self.views.apply(self._pixels.index_select(0, index), view)
        images = normalise(pixels, self._mean, self._std)
        labels = self._labels.index_select(0, index)
        parts = (whole.split(self.batch_size) for whole in (index, view, pixels, images, labels))
        for number, fields in enumerate(zip(*parts, strict=True), start=first):
            yield Batch(*fields, epoch=epoch, number=number, labelled=self._known)

    def _streamed(
        self, files: ImageFiles, order: NDArray[np.int64], drawn: NDArray[np.int64], epoch: int
    ) -> Iterator[Batch]:
        """The batches of images that are decoded while those before them are used."""
        count = self.batches_per_epoch
        index, views = np.split(order, count), np.split(drawn, count)
        if isinstance(self.views, CropViews):
            read = self.views.read(files, index, views)
        else:
            read = files.batches(index, map(evaluated, index))
        for number, decoded in enumerate(read):
            places, view = self._moved(index[number]), self._moved(views[number])
            pixels = torch.from_numpy(decoded).to(self._device)
            if not isinstance(self.views, CropViews):
                pixels = self.views.apply(pixels, view)
            images = normalise(pixels, self._mean, self._std)
            labels = self._labels.index_select(0, places)
            yield Batch(places, view, pixels, images, labels, epoch=epoch, number=number,
                        labelled=self._known)  # fmt: skip

    def _mix(self, batch: Batch, mixer: Mixer, lots: np.random.Generator) -> Batch:
        pixels, mixed = mixer.mix(batch.pixels, batch.labels, lots)
        images = normalise(pixels, self._mean, self._std)
        return replace(batch, pixels=pixels, images=images, mixed=mixed)


def labelled_in_batch(batch_size: int, labelled: int, images: int) -> int:
    """How many of the images of a batch have a label, where `labelled` of all `images` do.

    Raises UserError where there are too few without one for any in a batch.
    """
    without = min(batch_size // 2, batch_size * (images - labelled) // labelled)
    if images > labelled and without == 0:
        raise UserError(
            f"{images - labelled} images without labels beside {labelled} with are too few for one "
            f"in each batch of {batch_size}.",
            where="recipe.batch_size",
            fix="Take more of them, or larger batches.",
        )
    return batch_size - without


@lru_cache(maxsize=2)
def _resident(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    """The images and labels of a split on a device: moved there once, for all streams. Streamed
    images are left out."""
    images = split.images
    if isinstance(images, ImageFiles):
        images = np.empty((0, *images.shape[1:]), np.uint8)
    return _tensor(images, device), _tensor(split.labels, device)


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)
