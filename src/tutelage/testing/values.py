"""Checks of what a loss is worth: where it is 0, and what changes nothing about it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch

from tutelage.testing.subject import Batch, Property, Subject, word

_HOT = 1e4  # a temperature at which tau^2 KL is its limit, but for about a thousandth
_ABSENT = -1e4  # the logit of a class that has no chance


def _finite_scalar(subject: Subject) -> str | None:
    for batch in subject.batches():
        found = subject.call(batch)
        if found.shape != () or not found.is_floating_point() or not found.isfinite():
            shape = list(batch.student.shape)
            return (
                f"random logits {shape} gave {word(found.dtype)} {list(found.shape)}: "
                f"{found.flatten()[:3].tolist()}"
            )
    return None


def _zero(subject: Subject) -> str | None:
    for batch in subject.batches():
        found = subject.value(batch._replace(student=batch.teacher))
        if subject.differ(found, 0.0):
            return f"it is {found:.6g} there, and up to {subject.units[0]:.3g} elsewhere"
    return None


def _stationary(subject: Subject) -> str | None:
    for batch in subject.batches():
        _, slope = subject.slopes(batch._replace(student=batch.teacher))
        usual = subject.units[1]
        if not slope.abs().max() <= 10 * subject.close * usual:
            return f"its gradient is up to {_largest(slope)} there, and {usual:.3g} elsewhere"
    return None


def _largest(slope: torch.Tensor) -> str:
    return f"{slope.abs().max().item():.6g}"


def _not_negative(subject: Subject) -> str | None:
    for number in range(20):
        batch = subject.batch(4, 6, number=100 + number)
        near = batch.teacher + 0.1 * batch.student
        for case in (batch, batch._replace(student=near)):
            found = subject.value(case)
            if not found >= -subject.close * subject.units[0]:
                return f"random logits [4, 6] gave {found:.6g}"
    return None


def _unchanged(what: str, *changes: Callable[[Batch], Batch]) -> Callable[[Subject], str | None]:
    """The check that changes of a batch, `what` in words, leave its loss as it is."""

    def check(subject: Subject) -> str | None:
        for batch, change in product(subject.batches(), changes):
            before, after = subject.value(batch), subject.value(change(batch))
            if subject.differ(before, after):
                shape = list(batch.student.shape)
                return f"logits {shape}: {before:.8g}, and {after:.8g} {what}"
        return None

    return check


def _joined(batch: Batch) -> Batch:
    return batch.rows(lambda rows: torch.cat([rows, rows, rows]))


# Two orders each: turning them round leaves the middle in its place, moving them up leaves
# neighbours neighbours.


def _images_turned(batch: Batch) -> Batch:
    return batch.rows(lambda rows: rows.flip(0))


def _images_moved(batch: Batch) -> Batch:
    return batch.rows(lambda rows: rows.roll(1, 0))


def _classes_turned(batch: Batch) -> Batch:
    last = batch.student.shape[1] - 1
    return Batch(batch.student.flip(1), batch.teacher.flip(1), last - batch.labels)


def _classes_moved(batch: Batch) -> Batch:
    moved = (batch.labels + 1) % batch.student.shape[1]
    return Batch(batch.student.roll(1, 1), batch.teacher.roll(1, 1), moved)


def _shifted(batch: Batch) -> Batch:
    steps = torch.linspace(-20.0, 30.0, len(batch.labels) + 1, dtype=torch.float64)[:, None]
    return Batch(batch.student + steps[:-1], batch.teacher + steps[1:], batch.labels)


def _more_classes(batch: Batch) -> Batch:
    none = torch.full((len(batch.labels), 3), _ABSENT, dtype=torch.float64)
    student, teacher = (torch.cat([logits, none], 1) for logits in batch[:2])
    return Batch(student, teacher, batch.labels)


def _mean_of_images(subject: Subject) -> str | None:
    for batch in subject.batches():
        parts = [
            subject.value(Batch(*(part[image : image + 1] for part in batch)))
            for image in range(len(batch.labels))
        ]
        whole, mean = subject.value(batch), sum(parts) / len(parts)
        if subject.differ(whole, mean):
            return f"{len(parts)} images together: {whole:.8g}; the mean of each alone: {mean:.8g}"
    return None


def _limit(subject: Subject) -> str | None:
    assert subject.at_temperature is not None
    loss = subject.at_temperature(_HOT)
    for batch in subject.batches():
        found = subject.call(batch, loss)
        if found.dtype != torch.float64:
            return f"float64 logits gave {word(found.dtype)}, in which the limit cannot be seen"
        gap = batch.student - batch.teacher
        centred = gap - gap.mean(1, keepdim=True)
        limit = (centred.square().sum(1).mean() / (2 * gap.shape[1])).item()
        value = subject.value(batch, loss)
        if not abs(value - limit) <= 0.01 * limit:
            return f"at temperature {_HOT:g} it is {value:.6g}, the limit {limit:.6g}"
    return None


VALUES = (
    Property(
        "finite-scalar", "random logits give one finite number, a scalar", _finite_scalar
    ),
    Property("zero-at-teacher", "it is 0 for a student that equals its teacher", _zero),
    Property(
        "stationary-at-teacher",
        "its gradient is 0 for a student that equals its teacher",
        _stationary,
    ),
    Property("not-negative", "it is never below 0", _not_negative),
    Property(
        "batch-size",
        "a batch joined with itself has the same loss: nothing grows with the batch",
        _unchanged("three times over in one batch", _joined),
    ),
    Property(
        "mean-of-images", "the loss of a batch is the mean of those of its images", _mean_of_images
    ),
    Property(
        "order-of-images",
        "the order of the images does not matter",
        _unchanged("in another order", _images_turned, _images_moved),
    ),
    Property(
        "order-of-classes",
        "the order of the classes does not matter",
        _unchanged("with the classes in another order", _classes_turned, _classes_moved),
    ),
    Property(
        "shift",
        "a constant added to all logits of an image, of student or teacher, changes nothing",
        _unchanged("with a constant added to each row", _shifted),
    ),
    Property(
        "class-count",
        "classes to which both give logits of -1e4 change nothing, so nothing depends on how many",
        _unchanged("with three classes more that have no chance", _more_classes),
    ),
    Property(
        "large-temperature",
        "as the temperature grows it tends to half the mean squared distance of centred logits",
        _limit,
        needs_temperature=True,
    ),
)  # fmt: skip
"""Where a loss is 0, and what leaves it as it is."""
