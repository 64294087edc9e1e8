"""How one step is executed. This one is plain PyTorch: one network, one batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.config.chain import EpochStep, Start
from tutelage.data.stream import Batch
from tutelage.losses import logit_loss
from tutelage.training.average import WeightAverage
from tutelage.training.optimizer import set_rate

Signal = Callable[[Batch], Tensor]  # a teacher: a batch of views -> its logits [B, classes]
PARTS = ("loss", "ce", "kd", "errors", "agreements")


class EagerStepper:
    """Trains `model` batch by batch: forward, weighted loss, backward, update, and the `average`
    of its weights after it."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        start: Start,
        average: WeightAverage | None = None,
    ) -> None:
        self.model, self.optimizer, self.average = model, optimizer, average
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
        set_rate(self.optimizer, step.lr)

    def step(self, batch: Batch) -> Tensor:
        """One update. Returns the raw figures of PARTS for this batch, shape [5], detached.

        The loss and its unweighted parts are means over the batch; errors and agreements are
        counts of images. Without a signal, kd and agreements are 0. Of a mixed image both labels
        count in the cross-entropy, each with its share, and the one of the larger share in errors.
        """
        # Each weight is cast once a step anyway, and a cache must not outlive a captured step.
        with torch.autocast(
            self.device_type, dtype=torch.bfloat16, enabled=self.bf16, cache_enabled=False
        ):
            logits = self.model(batch.images)
        logits = logits.float()
        guess = logits.detach().argmax(1)
        ce, labels = self._cross_entropy(logits, batch)
        loss = self.weights[0] * ce
        taught, agreements = ce.new_zeros(()), ce.new_zeros(())
        if self.signal is not None and self.distil is not None:
            target = self.signal(batch)
            taught = self.distil(logits, target, labels)
            loss = loss + self.weights[1] * taught
            agreements = (guess == target.argmax(1)).sum().float()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        self.updates += 1
        if self.average is not None:
            self.average.update(self.updates)
        errors = (guess != labels).sum().float()
        return torch.stack((loss.detach(), ce.detach(), taught.detach(), errors, agreements))

    def _cross_entropy(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The cross-entropy with the labels, and the labels that images are mostly of."""
        ce = F.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
        if batch.mixed is None:
            return ce, batch.labels
        others, share = batch.mixed.labels, batch.mixed.share
        other = F.cross_entropy(logits, others, label_smoothing=self.label_smoothing)
        return share * ce + (1 - share) * other, batch.labels if share >= 0.5 else others
