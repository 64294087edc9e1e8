"""How one step of several small networks at once is executed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tutelage.config.chain import EpochStep, Start
from tutelage.data.stream import Batch, normalise
from tutelage.data.world import World
from tutelage.losses import logit_loss
from tutelage.training.fused import FlatSgd, FusedNetwork, stack_images
from tutelage.training.stepper import Signal
from tutelage.training.stopping import gradient_cosine, measures_gradients
from tutelage.training.trainee import Trainee

_VALIDATED = 100
"""Validation images in one pass: of eight networks, more would not stay in a processor's cache."""

_KEPT = 1 << 22
"""Bytes of validation images, of all networks, that are kept as the networks take them: four times
as many."""


class FusedStepper:
    """Trains up to GROUP networks of one architecture, batch size and optimizer side by side.

    The trainees' models and optimizers share memory with the fused network until `release`. What
    `start` says of precision and loss holds for all.
    """

    def __init__(self, trainees: Sequence[Trainee], start: Start) -> None:
        self.network = FusedNetwork([trainee.model for trainee in trainees])
        self.sgd = FlatSgd(self.network, trainees)
        self.trainees, self.label_smoothing = trainees, start.label_smoothing
        self._validation: list[Tensor] | None = None

    def begin(self, steps: Sequence[EpochStep], signals: Sequence[Signal | None]) -> None:
        """Sets what the coming epoch does, for each trainee; `signals` are their teachers."""
        self.network.module.train()
        self.sgd.set_rates([step.lr for step in steps])
        dtype = self.network.parameters.dtype
        self._ce_weights = torch.tensor([step.ce_weight for step in steps], dtype=dtype)
        self._kd_weights = torch.tensor([step.kd_weight for step in steps], dtype=dtype)
        self._signals = signals
        forms: dict[str, list[int]] = {}
        for number, (step, signal) in enumerate(zip(steps, signals, strict=True)):
            if signal is not None and step.loss is not None:
                forms.setdefault(step.loss, []).append(number)
        self._taught = {form: torch.tensor(numbers) for form, numbers in forms.items()}
        everybody = list(range(len(steps)))
        self._all_alike = list(forms.values()) == [everybody]
        self._compares = any(measures_gradients(step) for step in steps)

    def step(self, batches: Sequence[Batch]) -> Tensor:
        """One update of every trainee, each with its own batch (which may be another's too); of all
        of them equally many images have a label.

        Returns the raw figures of stepper.PARTS for each, [trainees, 5], detached; and the cosine
        of gradients where one of them needs it, [trainees, 6].
        """
        count, known = len(batches), batches[0].labelled  # None: all
        images = stack_images([batch.images for batch in batches])
        logits = self.network.module(images)[:count]
        labels = torch.stack([batch.labels for batch in batches])
        ce = F.cross_entropy(
            logits[:, :known].flatten(0, 1), labels[:, :known].flatten(), reduction="none",
            label_smoothing=self.label_smoothing,
        ).view(count, -1).mean(1)  # fmt: skip
        guess = logits.detach().argmax(2)
        taught, agreements = torch.zeros_like(ce), torch.zeros_like(ce)
        for form, numbers in self._taught.items():
            targets = torch.stack([self._target(number, batches) for number in numbers.tolist()])
            own, seen = (logits, labels) if self._all_alike else (logits[numbers], labels[numbers])
            losses, same = logit_loss(form)(own, targets, seen), own.argmax(2) == targets.argmax(2)
            if self._all_alike:
                taught, agreements = losses, same.sum(1).to(ce.dtype)
            else:
                taught = taught.index_copy(0, numbers, losses)
                agreements = agreements.index_copy(0, numbers, same.sum(1).to(ce.dtype))
        more = (gradient_cosine(logits, ce, taught),) if self._compares else ()
        loss = self._ce_weights * ce + self._kd_weights * taught
        loss.sum().backward()
        self.sgd.step()
        errors = (guess[:, :known] != labels[:, :known]).sum(1).to(ce.dtype)
        parts = (loss.detach(), ce.detach(), taught.detach(), errors, agreements, *more)
        return torch.stack(parts, dim=1)

    def end(self, batches: int) -> None:
        """Ends an epoch of so many batches."""
        self.network.count_batches(batches)

    @torch.inference_mode()
    def logits(self, worlds: Sequence[World]) -> list[np.ndarray]:
        """The logits [N, classes] of each trainee on the validation images of its world, which is
        the same in every call.

        As everywhere, every pass has one size, so that an image's logits do not depend on others.
        """
        module, count = self.network.module.eval(), len(worlds)
        parts = self._validation or _stacked(worlds)
        if self._validation is None and sum(w.validation.images.nbytes for w in worlds) <= _KEPT:
            parts = self._validation = list(parts)
        whole = torch.cat([module(part)[:count] for part in parts], dim=1).numpy()
        return [own[: len(world.validation)] for own, world in zip(whole, worlds, strict=True)]

    def release(self) -> None:
        """Ends the sharing of memory; the trainees are then as if trained alone."""
        self.sgd.release(self.trainees)
        self.network.release()

    def _target(self, number: int, batches: Sequence[Batch]) -> Tensor:
        signal = self._signals[number]
        assert signal is not None, "only who has a teacher is taught"
        return signal(batches[number])


def _stacked(worlds: Sequence[World]) -> Iterator[Tensor]:
    """The validation images of all worlds side by side, pass by pass, [B, GROUP * C, H, W]."""
    for start in range(0, max(len(world.validation) for world in worlds), _VALIDATED):
        yield stack_images([_part(world, start) for world in worlds])


def _part(world: World, start: int) -> Tensor:
    """Some validation images as the network takes them, filled up to one size with black."""
    pixels = np.array(world.validation.images[start : start + _VALIDATED])
    short = _VALIDATED - len(pixels)
    padded = np.concatenate([pixels, np.zeros((short, *pixels.shape[1:]), np.uint8)])
    return normalise(torch.from_numpy(padded), world.mean, world.std)
