"""What passes through a network on the way to its logits, read by the paths of its modules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.errors import UserError, unknown


class Features:
    """Reads the outputs of some modules of `model` during its ordinary forward pass.

    Neither the model's code nor what it computes is changed, and it runs once. `paths` are names of
    `model.named_modules()`, such as `stages.0`; `take` gives what passed there last, in the order
    of the paths. `close`, or leaving a `with`, ends the reading. Any number of readers may be on
    one model.

    Raises UserError for a path that is none.
    """

    def __init__(self, model: nn.Module, paths: Sequence[str]) -> None:
        modules = dict(model.named_modules())
        for path in paths:
            if path not in modules:
                raise unknown("module", path, [name for name in modules if name])
        self.paths = tuple(paths)
        self._passed: dict[str, list[tuple[Tensor, int]]] = {path: [] for path in paths}
        self._hooks = [
            modules[path].register_forward_hook(partial(self._keep, path)) for path in self._passed
        ]

    def _keep(self, path: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor):
            raise UserError(f"gives no tensor but a {type(output).__name__}.", where=path)
        # Inference mode keeps no versions.
        self._passed[path].append((output, -1 if output.is_inference() else output._version))

    def take(self) -> list[Tensor]:
        """The outputs of the forward pass since `take` was called last.

        Raises UserError where a module ran not at all or more than once, and where another one
        wrote over its output, as an activation in place does.
        """
        passed, self._passed = self._passed, {path: [] for path in self._passed}
        for path, outputs in passed.items():
            if len(outputs) != 1:
                times = "not at all" if not outputs else f"{len(outputs)} times"
                raise UserError(f"ran {times} in one forward pass.", where=path,
                                fix="Name a module that runs once.")  # fmt: skip
            output, version = outputs[0]
            if version >= 0 and output._version != version:
                raise UserError(
                    "its output is overwritten by what comes after it.",
                    where=path,
                    fix="Name the module that does so (an activation in place).",
                )
        return [passed[path][0][0] for path in self.paths]

    def close(self) -> None:
        """Reads no more."""
        for hook in self._hooks:
            hook.remove()

    def __enter__(self) -> Features:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_pair(
    student: nn.Module, teacher: nn.Module, images: Tensor,
    student_paths: Sequence[str] | None = None, teacher_paths: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Raises UserError where the features of two networks cannot be compared: paths that are none,
    modules that do not run once or give no maps, other numbers of them. `images` are any that both
    take, [B, channels, H, W]; paths default to the ends of the stages."""
    counts = []
    pairs = (("student", student, student_paths), ("teacher", teacher, teacher_paths))
    for who, model, paths in pairs:
        try:
            with Features(model, paths or stage_ends(model)) as features, torch.no_grad():
                model.eval()(images)
                maps = features.take()
        except UserError as error:
            where = f"{who}: {error.where}" if error.where else who
            raise UserError(error.what, where=where, fix=error.fix) from None
        for path, each in zip(features.paths, maps, strict=True):
            if each.dim() != 4:
                raise UserError(f"gives {list(each.shape)}, no maps [batch, channels, H, W].",
                                where=f"{who}: {path}")  # fmt: skip
        counts.append(len(maps))
    if counts[0] != counts[1]:
        raise UserError(
            f"{counts[0]} modules of the student cannot be paired with {counts[1]} of the teacher.",
            fix="Name as many of both by their paths.",
        )


def stage_ends(model: nn.Module) -> tuple[str, ...]:
    """The paths of the modules at which the stages of a network end: those of one resolution, where
    feature losses read it unless something else is said. Raises UserError where none are known."""
    ends = getattr(model, "stage_ends", None)
    if ends is None:
        raise UserError(f"where the stages of {type(model).__name__} end is not known.",
                        fix="Name the modules by their paths.")  # fmt: skip
    return tuple(ends)
