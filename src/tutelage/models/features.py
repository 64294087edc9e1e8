"""What passes through a network on the way to its logits, read by the paths of its modules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tutelage.errors import UserError, unknown
from tutelage.models.adapted import inner

_INPUT = ":input"


class Features:
    """Reads what passes through some modules of `model` during its ordinary forward pass.

    Neither the model's code nor what it computes is changed, and it runs once. `paths` are names of
    `model.named_modules()`, such as `stages.0`, for the output of that module, or with `:input`
    behind, such as `head:input`, for the (first) input of it; `take` gives what passed there last,
    in the order of the paths. `close`, or leaving a `with`, ends the reading. Any number of readers
    may be on one model. Paths of an adapted network are those of the network itself.

    Raises UserError for a path that is none.
    """

    def __init__(self, model: nn.Module, paths: Sequence[str]) -> None:
        modules = dict(inner(model).named_modules())
        for path in paths:
            if path.removesuffix(_INPUT) not in modules:
                name = path.removesuffix(_INPUT)
                raise unknown("module", name, [name for name in modules if name])
        self.paths = tuple(paths)
        self._passed: dict[str, list[tuple[Tensor, int]]] = {path: [] for path in paths}
        self._hooks = [self._hooked(modules[path.removesuffix(_INPUT)], path)
                       for path in self._passed]  # fmt: skip

    def _hooked(self, module: nn.Module, path: str) -> RemovableHandle:
        if path.endswith(_INPUT):
            return module.register_forward_pre_hook(partial(self._keep_input, path))
        return module.register_forward_hook(partial(self._keep, path))

    def _keep_input(self, path: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._note(path, inputs[0] if inputs else None, "takes")

    def _keep(self, path: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self._note(path, output, "gives")

    def _note(self, path: str, passed: Any, verb: str) -> None:
        if not isinstance(passed, Tensor):
            raise UserError(f"{verb} no tensor but a {type(passed).__name__}.", where=path)
        # Inference mode keeps no versions.
        self._passed[path].append((passed, -1 if passed.is_inference() else passed._version))

    def take(self) -> list[Tensor]:
        """What passed in the forward pass since `take` was called last.

        Raises UserError where a module ran not at all or more than once, and where another one
        wrote over what passed, as an activation in place does.
        """
        passed, self._passed = self._passed, {path: [] for path in self._passed}
        for path, times_passed in passed.items():
            if len(times_passed) != 1:
                times = "not at all" if not times_passed else f"{len(times_passed)} times"
                raise UserError(f"ran {times} in one forward pass.", where=path,
                                fix="Name a module that runs once.")  # fmt: skip
            tensor, version = times_passed[0]
            if version >= 0 and tensor._version != version:
                what = "input" if path.endswith(_INPUT) else "output"
                raise UserError(
                    f"its {what} is overwritten by what comes after it.",
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
    *, reads: str = "ends", maps: bool = True,
) -> None:  # fmt: skip
    """Raises UserError where the features of two networks cannot be compared: paths that are none,
    modules that do not run once, or show no maps (without `maps`: nothing [B, ...]), other numbers
    of them. `images` are any that both take, [B, channels, H, W]; paths default to `usual_paths`
    of what the loss `reads`."""
    counts = []
    pairs = (("student", student, student_paths), ("teacher", teacher, teacher_paths))
    for who, model, paths in pairs:
        try:
            usual = paths or usual_paths(model, reads)
            with Features(model, usual) as features, torch.no_grad():
                model.eval()(images)
                shown = features.take()
        except UserError as error:
            where = f"{who}: {error.where}" if error.where else who
            raise UserError(error.what, where=where, fix=error.fix) from None
        for path, each in zip(features.paths, shown, strict=True):
            verb, where = "takes" if path.endswith(_INPUT) else "gives", f"{who}: {path}"
            if maps and each.dim() != 4:
                raise UserError(f"{verb} {list(each.shape)}, no maps [batch, channels, H, W].",
                                where=where)  # fmt: skip
            if each.dim() < 2 or len(each) != len(images):
                what = f"{verb} {list(each.shape)} for {len(images)} images, no features [batch, "
                raise UserError(f"{what}...].", where=where)
        counts.append(len(shown))
    if counts[0] != counts[1]:
        raise UserError(
            f"{counts[0]} modules of the student cannot be paired with {counts[1]} of the teacher.",
            fix="Name as many of both by their paths.",
        )


def stage_ends(model: nn.Module) -> tuple[str, ...]:
    """The paths of the modules at which the stages of a network end: those of one resolution, where
    feature losses read it unless something else is said. Raises UserError where none are known."""
    ends = getattr(inner(model), "stage_ends", None)
    if ends is None:
        raise UserError(f"where the stages of {type(inner(model)).__name__} end is not known.",
                        fix="Name the modules by their paths.")  # fmt: skip
    return tuple(ends)


def usual_paths(model: nn.Module, reads: str) -> tuple[str, ...]:
    """Where a loss of features reads a network unless something else is said: at the `ends` of all
    stages, of the `middle` one or of the `last` one, or at the `embedding`, the input of the last
    linear layer. Raises UserError where that is not known."""
    if reads == "embedding":
        path = getattr(inner(model), "embedding", None)
        if path is None:
            raise UserError(f"where {type(inner(model)).__name__} has its embedding is not known.",
                            fix="Name the modules by their paths.")  # fmt: skip
        return (path,)
    ends = stage_ends(model)
    return {"ends": ends, "middle": (ends[len(ends) // 2],), "last": ends[-1:]}[reads]
