"""A control that is searched for: the student from labels alone, longer and with other settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from tutelage.config.design import Training
from tutelage.config.schema import SearchConfig
from tutelage.errors import UserError


def cells(
    training: Training, search: SearchConfig | list[SearchConfig], where: str
) -> Iterator[Training]:
    """The trainings of a search, each named by what it differs in: `tuned/2x-lr0.5`.

    A length scales the whole schedule, the decays along with the epochs. Of several products each
    cell is taken once. Raises UserError where a teacher is named, where one product names a cell
    twice, and where two cells would be the same training.
    """
    if training.teacher is not None:
        raise UserError("a search is for the control, which has no teacher.", where=where,
                        fix="Leave out `teacher` or `search`.")  # fmt: skip
    known: dict[tuple[object, ...], str] = {}
    for one in search if isinstance(search, list) else [search]:
        names: set[str] = set()
        for cell in _product(training, one):
            if cell.name in names:
                raise UserError(f"names the cell {cell.name} twice.", where=where)
            names.add(cell.name)
            recipe = cell.recipe
            trained = recipe.epochs, recipe.optimizer.model_dump_json(), recipe.label_smoothing
            if trained not in known:
                known[trained] = cell.name
                yield cell
            elif known[trained] != cell.name:
                raise UserError(
                    f"{known[trained]} and {cell.name} would be the same training.", where=where,
                    fix="Leave one out: a factor of a weight decay of 0, or a length that rounds "
                    "to the same epochs, changes nothing.",
                )  # fmt: skip


def _product(training: Training, search: SearchConfig) -> Iterator[Training]:
    smoothings = search.label_smoothing or [training.recipe.label_smoothing]
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
        yield replace(training, name=name, recipe=recipe, searched=float(length))


def _told(what: str, factor: float) -> list[str]:
    return [] if factor == 1 else [f"{what}{factor:g}"]
