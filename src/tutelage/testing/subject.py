"""A loss under test, the logits that it is given, and what a property is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

Loss = Callable[..., Tensor]
"""(student logits [B, C], teacher logits [B, C][, labels int64 [B]]) -> a scalar."""

SIZES = ((6, 5), (1, 3), (9, 17))  # images and classes of the random batches
_SPREAD = 2.0, 4.0  # of the logits of student and teacher, who is the surer one

# How far two numbers that ought to be equal may differ, as a share of the loss.
_CLOSE = {torch.float64: 1e-9, torch.float32: 1e-4}


class Fault(Exception):
    """What is wrong with a loss, in a sentence."""


class Batch(NamedTuple):
    """Logits [..., B, C] of student and teacher, and labels int64 [..., B]."""

    student: Tensor
    teacher: Tensor
    labels: Tensor

    def rows(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """All three, changed alike along the images, which come first."""
        return Batch(*map(change, self))

    def to(self, dtype: torch.dtype) -> Batch:
        """The logits in another precision."""
        return Batch(self.student.to(dtype), self.teacher.to(dtype), self.labels)


@dataclass(frozen=True)
class Subject:
    """A loss, how it is called, and where its random batches come from."""

    loss: Loss
    labels: bool = False
    seed: int = 0
    at_temperature: Callable[[float], Loss] | None = None

    def batch(
        self, images: int, classes: int, *leading: int, dtype: torch.dtype = torch.float64,
        number: int = 0,
    ) -> Batch:  # fmt: skip
        """Random logits [*leading, images, classes]; `number` picks one of several draws."""
        dice = torch.Generator().manual_seed(self.seed * 1000 + number)
        shape = (*leading, images, classes)
        student, teacher = (
            spread * torch.randn(shape, generator=dice, dtype=torch.float64) for spread in _SPREAD
        )
        labels = torch.randint(classes, shape[:-1], generator=dice)
        return Batch(student.to(dtype), teacher.to(dtype), labels)

    def batches(self) -> Iterator[Batch]:
        """Float64 batches of several sizes."""
        for number, (images, classes) in enumerate(SIZES):
            yield self.batch(images, classes, number=number)

    def call(self, batch: Batch, loss: Loss | None = None) -> Tensor:
        """The loss as it is; its arguments are copies, so that none can be harmed."""
        copies = [part.clone() for part in (batch if self.labels else batch[:2])]
        return (loss or self.loss)(*copies)

    def value(self, batch: Batch, loss: Loss | None = None) -> float:
        """The loss as a number. Raises Fault where it is not one number."""
        return one_number(self.call(batch, loss)).item()

    def slopes(self, batch: Batch) -> tuple[float, Tensor]:
        """The loss and its gradient for the student's logits, which is 0 where there is none."""
        leaf = batch.student.clone().requires_grad_()
        found = one_number(self.call(batch._replace(student=leaf)))
        if not found.requires_grad:
            return found.item(), torch.zeros_like(leaf)
        (slope,) = torch.autograd.grad(found.reshape(()), leaf, allow_unused=True)
        return found.item(), torch.zeros_like(leaf) if slope is None else slope

    @cached_property
    def close(self) -> float:
        """How exact the loss is for float64 logits, as a share: 1e-4 where it gives float32."""
        dtype = one_number(self.call(self.batch(*SIZES[0]))).dtype
        return _CLOSE.get(dtype, 1e-2)

    @cached_property
    def units(self) -> tuple[float, float]:
        """What the loss, and an entry of its gradient, usually are: the largest of some batches."""
        found = [self.slopes(batch) for batch in self.batches()]
        values = [abs(value) for value, _ in found]
        return max(values), max(slope.abs().max().item() for _, slope in found)

    def differ(self, one: float, other: float) -> bool:
        """Whether two losses differ by more than rounding, or one is no number."""
        return not abs(one - other) <= self.close * max(self.units[0], abs(one), abs(other))


def one_number(found: Tensor) -> Tensor:
    """The same tensor. Raises Fault unless it holds one floating number."""
    if not isinstance(found, Tensor):
        raise Fault(f"it gave {type(found).__name__} instead of a tensor")
    if found.numel() != 1 or not found.is_floating_point():
        raise Fault(f"it gave {word(found.dtype)} {list(found.shape)} instead of one number")
    return found


def word(dtype: torch.dtype) -> str:
    """float32, not torch.float32."""
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Property:
    """Something that a loss can declare of itself.

    `check` gives None where the property holds, and otherwise a sentence with the numbers that it
    saw; whatever the loss raises counts as a failure. `needs_temperature` says that the check calls
    `at_temperature` of its subject.
    """

    name: str
    meaning: str
    check: Callable[[Subject], str | None]
    needs_temperature: bool = False
