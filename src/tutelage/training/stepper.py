"""How one step is executed. This one is plain PyTorch: one network, one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.config.chain import EpochStep, Start
from tutelage.data.stream import Batch
from tutelage.losses import logit_loss
from tutelage.training.average import WeightAverage
from tutelage.training.feature_losses import FeatureLosses
from tutelage.training.optimizer import set_rate
from tutelage.training.stopping import gradient_cosine, measures_gradients

Signal = Callable[[Batch], Tensor]  # a teacher: a batch of views -> its logits [B, classes]


class ShowsFeatures(Protocol):
    """A teacher that shows features too, for the epochs that compare them."""

    def heard(self, batch: Batch) -> tuple[Tensor, Mapping[str, Sequence[Tensor]]]:
        """The logits [B, classes] of a batch of views, and the features by the name of the loss
        that compares them, in the order of its modules."""
        ...


PARTS = ("loss", "ce", "kd", "errors", "agreements")


class EagerStepper:
    """Trains `model` batch by batch: forward, weighted loss, backward, update, and the `average`
    of its weights after it; beside it what its `losses` of features train."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        start: Start,
        average: WeightAverage | None = None,
        losses: FeatureLosses | None = None,
    ) -> None:
        self.model, self.optimizer, self.average = model, optimizer, average
        self.losses = FeatureLosses(start) if losses is None else losses
        self.clip_norm, self.label_smoothing = start.clip_norm, start.label_smoothing
        self.device_type = torch.device(start.device).type
        self.bf16 = start.precision == "bf16"

    def begin(self, step: EpochStep, signal: Signal | None, updates: int = 0) -> None:
        """Sets what the coming epoch does; `signal` is the teacher of an epoch that distils, and
        `updates` how many steps came before it."""
        self.model.train()
        self.updates = updates
        self.weights: tuple[float | Tensor, float | Tensor] = (step.ce_weight, step.kd_weight)
        self.signal = signal if step.distils else None
        self.distil = logit_loss(step.loss) if step.distils and step.loss else None
        self.losses.begin(step.features, self.model, step.lr)
        self.compares = measures_gradients(step)
        set_rate(self.optimizer, step.lr)

    def step(self, batch: Batch) -> Tensor:
        """One update. Returns the raw figures of PARTS for this batch, shape [5], detached; behind
        them the losses of features, in the order of `EpochStep.feature_losses`, and the cosine of
        gradients where it is asked for.

        The loss and its unweighted parts are means over the batch, the cross-entropy over those
        of its images that have a label; errors and agreements are counts of images, errors of
        those. Without a signal, kd and agreements are 0. Of a mixed image both labels count in the
        cross-entropy, each with its share, and the one of the larger share in errors.
        """
        reader = self.losses.reader() if self.losses.are_any else nullcontext()
        # Each weight is cast once a step anyway, and a cache must not outlive a captured step.
        with reader as read, torch.autocast(
            self.device_type, dtype=torch.bfloat16, enabled=self.bf16, cache_enabled=False
        ):  # fmt: skip
            logits = self.model(batch.images)
            shown = read.take() if read is not None else []
        logits = logits.float()
        guess = logits.detach().argmax(1)
        ce, labels = self._cross_entropy(logits, batch)
        loss = self.weights[0] * ce
        taught, agreements = ce.new_zeros(()), ce.new_zeros(())
        more: list[Tensor] = []
        if self.signal is not None:
            if not self.losses.are_any:
                target = self.signal(batch)
            else:
                teacher: ShowsFeatures = self.signal  # pyright: ignore[reportAssignmentType]
                target, likewise = teacher.heard(batch)
                for weight, alike in self.losses.compare(shown, likewise, batch):
                    loss = loss + weight * alike
                    more.append(alike.detach())
            if self.distil is not None:
                taught = self.distil(logits, target, labels)
                loss = loss + self.weights[1] * taught
                if self.compares:
                    more.append(gradient_cosine(logits, ce, taught))
            agreements = (guess == target.argmax(1)).sum().float()
        self.optimizer.zero_grad(set_to_none=True)
        self.losses.zero_grad()
        loss.backward()
        if self.clip_norm is not None:
            trained = [*self.model.parameters(), *self.losses.parameters()]
            nn.utils.clip_grad_norm_(trained, self.clip_norm)
        self.optimizer.step()
        self.losses.step()
        self.updates += 1
        if self.average is not None:
            self.average.update(self.updates)
        wrong = guess != labels
        errors = (wrong if batch.labelled is None else wrong[: batch.labelled]).sum().float()
        return torch.stack((loss.detach(), ce.detach(), taught.detach(), errors, agreements, *more))

    def _cross_entropy(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The cross-entropy with the labels, and the labels that images are mostly of."""
        known, labels = logits, batch.labels
        if batch.labelled is not None:
            known, labels = logits[: batch.labelled], batch.labels[: batch.labelled]
        ce = F.cross_entropy(known, labels, label_smoothing=self.label_smoothing)
        if batch.mixed is None:
            return ce, batch.labels
        others, share = batch.mixed.labels, batch.mixed.share
        other = F.cross_entropy(logits, others, label_smoothing=self.label_smoothing)
        return share * ce + (1 - share) * other, batch.labels if share >= 0.5 else others
