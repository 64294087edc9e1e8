"""A loss of the user's own, named by `file.py:function` or `module:function`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tutelage.config.canonical import digest
from tutelage.errors import UserError
from tutelage.functions import (
    code_of,
    importable,
    modules_behind,
    named_function,
    named_module,
)

_EXAMPLE = "losses.py:my_loss"
_DOCTOR = "See what else it should do: tutelage doctor losses {name}."


def own_loss(
    function: str, arguments: Mapping[str, Any] | None = None, labels: bool = False,
    code: str | None = None, version: str | None = None,
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:  # fmt: skip
    """(student logits [..., B, C], teacher logits likewise, labels int64 [..., B]) -> loss [...].

    `function` is called with the logits [B, C] of student and teacher, with the labels [B] where it
    takes `labels`, and with `arguments` by name; it gives one number, the mean over the images. Of
    several students it is called for each. No gradient reaches the teacher. `code` is the mark that
    its code must have (see `code_mark`), None for any; `version` changes nothing here.

    Raises UserError where the function is not found or its code is another, and, when it is called,
    where it does not give one number. What it raises itself passes through.
    """
    known = _found if code is None and version is None else _known
    found, given = known(function, code, version), dict(arguments or {})

    def each(student: Tensor, teacher: Tensor, classes: Tensor) -> Tensor:
        if student.dim() > 2:
            return torch.stack([each(*one) for one in zip(student, teacher, classes, strict=True)])
        told = (classes,) if labels else ()
        with importable(function):  # it may import more
            return _one_number(found(student, teacher.detach(), *told, **given), function)

    return each


@lru_cache(maxsize=64)
def _known(function: str, code: str | None, version: str | None) -> Callable[..., Any]:
    """The function with that mark or version, which is looked for once in each process."""
    return _found(function, code, version)


def _found(function: str, code: str | None, version: str | None) -> Callable[..., Any]:
    with importable(function):
        found = named_function(function, _EXAMPLE)
    if code is not None and code_mark(function) != code:
        raise UserError(
            "the code of this loss has changed since the study began.",
            where=function,
            fix="Run the study again.",
        )
    return found


def code_mark(function: str) -> str:
    """The mark of the code of a function: a digest of its file, and of those of the user's own that
    this one has names from; comments do not count. Raises UserError where it is not found."""
    with importable(function):
        module = named_module(function, _EXAMPLE)
    return digest(code_of(modules_behind(module)))[:16]


def try_loss(function: str, arguments: Mapping[str, Any], *, labels: bool) -> None:
    """Raises UserError where a function is no loss: not found, not to be called like that, not
    giving one number that is finite, or having no gradient for the student."""
    dice = torch.Generator().manual_seed(0)
    student = torch.randn(6, 5, generator=dice).requires_grad_()
    teacher = torch.randn(6, 5, generator=dice)
    classes = torch.randint(5, (6,), generator=dice)
    loss = own_loss(function, arguments, labels)
    doctor = _DOCTOR.format(name=function)
    try:
        with torch.random.fork_rng(devices=[]):
            value = loss(student, teacher, classes)
    except UserError:
        raise
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise UserError(
            f"called with logits [6, 5]{' and labels [6]' if labels else ''} it raised "
            f"{type(error).__name__}: {said}.",
            where=function,
            fix="`labels: true` passes labels as its third argument, `arguments` more by name. "
            + doctor,
        ) from error
    if not value.isfinite():
        raise UserError(f"gives {value.item()} for usual logits.", where=function, fix=doctor)
    slope = (
        torch.autograd.grad(value, student, allow_unused=True)[0] if value.requires_grad else None
    )
    if slope is None or not slope.isfinite().all() or not slope.any():
        raise UserError("has no gradient for the student's logits, so nothing is learned.",
                        where=function, fix=doctor)  # fmt: skip


def _one_number(found: Any, function: str) -> Tensor:
    """What a function gave, as a tensor without dimensions. Raises UserError otherwise."""
    fix = "Give the mean over the images, a tensor without dimensions."
    if not isinstance(found, Tensor):
        raise UserError(f"gives {type(found).__name__}, not a tensor.", where=function, fix=fix)
    if found.numel() != 1 or not found.is_floating_point():
        kind = str(found.dtype).removeprefix("torch.")
        raise UserError(
            f"gives {kind} {list(found.shape)} instead of one number.", where=function, fix=fix
        )
    return found.reshape(())
