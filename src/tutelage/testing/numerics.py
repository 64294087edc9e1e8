"""Checks of how a loss computes: its gradients, its precision, and how it treats its arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from tutelage.testing.subject import Batch, Property, Subject, one_number, word

_STEP = 1e-5  # of finite differences
_LARGE = 1e4
_HALF = torch.bfloat16, torch.float16


def _no_gradient_to_teacher(subject: Subject) -> str | None:
    for batch in subject.batches():
        student, teacher = (logits.clone().requires_grad_() for logits in batch[:2])
        found = one_number(subject.call(Batch(student, teacher, batch.labels)))
        if not found.requires_grad:
            continue
        (slope,) = torch.autograd.grad(found.reshape(()), teacher, allow_unused=True)
        if slope is not None and slope.abs().max() != 0:
            return f"the teacher's logits get a gradient of up to {slope.abs().max().item():.6g}"
    return None


def _gradient(subject: Subject) -> str | None:
    for number in (0, 1):
        batch = subject.batch(4, 3, number=200 + number)
        dtype = subject.call(batch).dtype
        if dtype != torch.float64:
            return f"float64 logits gave {word(dtype)}, too coarse for differences"
        _, slope = subject.slopes(batch)
        for image, label in torch.cartesian_prod(torch.arange(4), torch.arange(3)).tolist():
            nudge = torch.zeros_like(batch.student)
            nudge[image, label] = _STEP
            ahead, behind = (
                subject.value(batch._replace(student=batch.student + side * nudge))
                for side in (1, -1)
            )
            rise, said = (ahead - behind) / (2 * _STEP), slope[image, label].item()
            if not abs(rise - said) <= 1e-5 * max(subject.units[1], abs(rise)):
                return (
                    f"image {image}, class {label}: the gradient is {said:.8g}, the loss rises by "
                    f"{rise:.8g} for each 1"
                )
    return None


def _finite_at_large(subject: Subject) -> str | None:
    for dtype in (torch.float32, *_HALF):
        for name, batch in _large_batches(dtype):
            value, slope = subject.slopes(batch)
            bad = int((~slope.isfinite()).sum())
            if abs(value) < torch.inf and not bad:
                continue
            what = f"{bad} of {slope.numel()} entries of the gradient" if bad else "the loss"
            return f"{word(dtype)}, {name}: the loss is {value:g}; not finite: {what}"
    return None


def _large_batches(dtype: torch.dtype) -> Iterator[tuple[str, Batch]]:
    """Logits [7, 4] of 0 and +-1e4: sure and right, sure and wrong, undecided."""
    high, rows = _LARGE, []
    for signs in ((1, -1, 0, 0), (-1, 1, 0, 0), (1, 1, -1, -1), (0, 0, 0, 1), (-1, -1, -1, 0)):
        rows.append([sign * high for sign in signs])
    one = torch.tensor([*rows, rows[0], rows[2]], dtype=dtype)
    labels = torch.arange(7) % 4
    yield "large logits", Batch(one, one.roll(2, 0), labels)
    yield "large logits of the student", Batch(one, one / high, labels)
    yield "large logits of the teacher", Batch(one / high, one, labels)
    yield "large logits, student and teacher alike", Batch(one, one, labels)
    constant = high * torch.tensor([1, -1, 0, 1, -1, 0, 1], dtype=dtype)[:, None].expand(7, 4)
    yield "rows of one number of the teacher", Batch(one, constant, labels)
    # A loss that divides by the spread of a row is finite but steeper there than fp16 can tell.
    if dtype != torch.float16:
        yield "rows of one number of the student", Batch(constant, one, labels)


def _half_in_single(subject: Subject) -> str | None:
    for dtype in _HALF:
        coarse = subject.batch(32, 10, number=300).to(dtype)
        found, fine = subject.call(coarse), subject.value(coarse.to(torch.float32))
        if found.dtype != torch.float32:
            return f"{word(dtype)} logits gave {word(found.dtype)}"
        value = one_number(found).item()
        if not abs(value - fine) <= 1e-5 * abs(fine):
            return f"{word(dtype)} logits gave {value:.8g}; the same in float32 {fine:.8g}"
    return None


def _refuses_shapes(subject: Subject) -> str | None:
    batch = subject.batch(4, 5, number=400)
    student, teacher, labels = batch
    cases = [
        ("teacher", Batch(student, other, labels), other)
        for other in (
            torch.zeros(4, 6, dtype=student.dtype), torch.zeros(3, 5, dtype=student.dtype),
            teacher[:1], teacher[0],
        )
    ]  # fmt: skip
    if subject.labels:
        cases += [("labels", Batch(*batch[:2], labels[:3]), labels[:3])]
    for whose, case, wrong in cases:
        shapes = f"student {list(student.shape)}, {whose} {list(wrong.shape)}"
        try:
            found = subject.call(case)
        except ValueError as error:
            if not all(_names(str(error), part) for part in (student, wrong)):
                return f"{shapes}: its message does not name both: {error}"
        except Exception as error:
            return f"{shapes}: {type(error).__name__} instead of ValueError: {error}"
        else:
            return f"{shapes}: accepted, with a loss of {found.flatten()[:1].tolist()}"
    return None


def _names(message: str, logits: Tensor) -> bool:
    """Whether a message holds a shape: [4, 5], (4, 5) or 4x5; a list of one as [5] or (5,)."""
    numbers = [str(size) for size in logits.shape]
    inside = r"(?:,\s*|\s*[x×]\s*)".join(numbers)
    return re.search(rf"(?<![\d,x×])(?<!, ){inside}(?!,? ?[\dx×])", message) is not None


def _deterministic(subject: Subject) -> str | None:
    for dtype in (torch.float32, torch.float64):
        batch = subject.batch(64, 10, dtype=dtype, number=500)
        first, slope = subject.slopes(batch)
        for _ in range(4):
            again, other = subject.slopes(batch)
            if again != first:
                return f"the same {word(dtype)} logits gave {first!r} and {again!r}"
            if not torch.equal(slope, other):
                apart = (slope - other).abs().max().item()
                return f"the same {word(dtype)} logits gave gradients {apart:.3g} apart"
    return None


def _leaves_arguments(subject: Subject) -> str | None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        batch = subject.batch(6, 5, dtype=dtype, number=600)
        given = batch.rows(Tensor.clone)
        leaf = given.student.requires_grad_()
        logits = leaf.clone()  # as a network's output is: it can be changed in place
        arguments = (logits, given.teacher, given.labels)
        found = one_number(subject.loss(*arguments[: 3 if subject.labels else 2]))
        if found.requires_grad:
            found.reshape(()).backward()
        for name, before, after in zip(batch._fields, batch, arguments, strict=True):
            if not torch.equal(before, after):
                count = int((before != after).sum())
                return f"{count} of {before.numel()} numbers of `{name}` ({word(dtype)}) changed"
    return None


def _leading(subject: Subject) -> str | None:
    for number, leading in enumerate(((3,), (2, 2))):
        batch = subject.batch(8, 6, *leading, dtype=torch.float32, number=700 + number)
        leaf = batch.student.clone().requires_grad_()
        found = subject.call(batch._replace(student=leaf))
        if found.shape != leading:
            shape = list(leaf.shape)
            return f"logits {shape} gave {list(found.shape)} instead of {list(leading)}"
        slopes = torch.zeros_like(leaf)
        if found.requires_grad:
            (slopes,) = torch.autograd.grad(found.sum(), leaf)
        flat = Batch(*(part.flatten(0, len(leading) - 1) for part in batch))
        together = zip(found.flatten().tolist(), slopes.view_as(flat.student), strict=True)
        for index, (value, slope) in enumerate(together):
            alone, its_slope = subject.slopes(Batch(*(part[index] for part in flat)))
            if value != alone:
                return f"one of {list(leading)} is {value!r}, and {alone!r} by itself"
            if not torch.equal(slope, its_slope):
                apart = (slope - its_slope).abs().max().item()
                return f"one of {list(leading)} has a gradient {apart:.3g} from its own by itself"
    return None


_Check = Callable[[Subject], str | None]
_CHECKS: tuple[tuple[str, str, _Check], ...] = (
    ("teacher-detached", "no gradient reaches the teacher", _no_gradient_to_teacher),
    ("gradient", "its gradient is that of finite differences, in float64", _gradient),
    (
        "large-logits",
        "logits of +-1e4 give a finite loss and gradient in float32, bfloat16 and float16",
        _finite_at_large,
    ),
    ("half-in-single", "half precision is computed in float32", _half_in_single),
    (
        "refuses-shapes",
        "shapes that do not fit are a ValueError that names both",
        _refuses_shapes,
    ),
    ("deterministic", "the same logits give the same bits, loss and gradient", _deterministic),
    ("leaves-arguments", "its arguments are left as they were", _leaves_arguments),
    (
        "leading-dimensions",
        "logits [..., B, C] give a loss for each index: the bits, and gradient, of each by itself",
        _leading,
    ),
)
NUMERICS = tuple(Property(*check) for check in _CHECKS)
"""How a loss computes, and treats what it is given."""
