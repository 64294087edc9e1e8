"""A control that is searched for: the student from labels alone, longer and with other settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from tutelage.config.design import Training
from tutelage.config.schema import SearchConfig
from tutelage.errors import UserError


def cells(training: Training, search: SearchConfig, where: str) -> Iterator[Training]:
    """The trainings of a search, each named by what it differs in: `tuned/2x-lr0.5`.

    A length scales the whole schedule, the decays along with the epochs. Raises UserError where a
    teacher is named, or two cells would be the same.
    """
    if training.teacher is not None:
        raise UserError("a search is for the control, which has no teacher.", where=where,
                        fix="Leave out `teacher` or `search`.")  # fmt: skip
    smoothings = search.label_smoothing or [training.recipe.label_smoothing]
    names: set[str] = set()
    for length, lr, decay, smoothing in product(
        search.lengths, search.lr, search.weight_decay, smoothings
    ):
        recipe = training.recipe if length == 1 else training.recipe.compressed(float(length))
        optimizer = recipe.optimizer.model_copy(
            update={
                "lr": recipe.optimizer.lr * lr,
                "weight_decay": recipe.optimizer.weight_decay * decay,
            }
        )
        recipe = replace(recipe, optimizer=optimizer, label_smoothing=smoothing)
        parts = [f"{length:g}x", *_told("lr", lr), *_told("wd", decay)]
        if smoothing != training.recipe.label_smoothing:
            parts.append(f"ls{smoothing:g}")
        name = f"{training.group}/{'-'.join(parts)}"
        if name in names:
            raise UserError(f"names the cell {name} twice.", where=where)
        names.add(name)
        yield replace(training, name=name, recipe=recipe)


def _told(what: str, factor: float) -> list[str]:
    return [] if factor == 1 else [f"{what}{factor:g}"]
