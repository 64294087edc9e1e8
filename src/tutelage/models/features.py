"""What passes through a network on the way to its logits, read by the paths of its modules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any

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
        self._passed[path].append((output, output._version))

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
            if output._version != version:
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


def stage_ends(model: nn.Module) -> tuple[str, ...]:
    """The paths of the modules at which the stages of a network end: those of one resolution, where
    feature losses read it unless something else is said. Raises UserError where none are known."""
    ends = getattr(model, "stage_ends", None)
    if ends is None:
        raise UserError(f"where the stages of {type(model).__name__} end is not known.",
                        fix="Name the modules by their paths.")  # fmt: skip
    return tuple(ends)
