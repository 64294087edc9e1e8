"""From a valid study to everything it trains: names, stops, inheritance and lists resolved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tutelage.config.contrasts import check_precision
from tutelage.config.design import (
    Expanded,
    Teacher,
    Training,
)
from tutelage.config.images import check_extra, with_images
from tutelage.config.metrics import unit_of
from tutelage.config.recipe import build_recipe
from tutelage.config.schema import (
    ClaimConfig,
    ConditionConfig,
    RecipeConfig,
    StudyConfig,
)
from tutelage.config.search import cells
from tutelage.config.teachers import check_heard, check_logits, resolve_teacher
from tutelage.config.trainings import check_learns, located, training_of
from tutelage.errors import UserError, unknown

MOST_RUNS, MOST_EPOCHS = 100_000, 5_000_000  # of a study; its plan is kept in memory


def expand(study: StudyConfig) -> Expanded:
    """Resolve names, stops, inheritance and lists. Raises UserError that names the key."""
    trainings: dict[str, Training] = {}
    teachers: dict[str, Teacher] = {}
    for name in study.teachers:
        resolve_teacher(study, name, teachers, trainings, path=())
    conditions = _conditions(study, teachers)
    for kind, taught in (("teachers", trainings), ("conditions", conditions)):
        for training in taught.values():
            if training.teacher is not None:
                where = f"{kind}.{training.group}"
                check_heard(training, teachers[training.teacher], where)
                check_logits(study, training, teachers[training.teacher], trainings, where)
    expanded = Expanded(teachers, trainings, conditions)
    check_extra(study, expanded)
    _check_claims(study, expanded)
    _check_size(study, trainings, conditions)
    return expanded


def with_codes(expanded: Expanded, codes: Mapping[str, str]) -> Expanded:
    """The same with the marks of losses of the user's own, which `codes` has by `OwnConfig.key`."""

    def marked(trainings: dict[str, Training]) -> dict[str, Training]:
        return {name: _with_code(training, codes) for name, training in trainings.items()}

    return replace(
        expanded,
        trainings=marked(expanded.trainings),
        conditions=marked(expanded.conditions),
    )


def _with_code(training: Training, codes: Mapping[str, str]) -> Training:
    own = training.loss.own if training.loss is not None else None
    return training if own is None else replace(training, loss_code=codes.get(own.key))


def _conditions(study: StudyConfig, teachers: dict[str, Teacher]) -> dict[str, Training]:
    conditions: dict[str, Training] = {}
    for group in study.conditions:
        config, recipes = _inherit(study, group)
        where = f"conditions.{group}"
        if group == "teacher":
            raise UserError("no condition can be called teacher.", where=where, fix="Rename it.")
        listed = config.teacher if isinstance(config.teacher, list) else [config.teacher]
        for teacher in listed:
            if teacher is not None and teacher not in teachers:
                raise unknown("teacher", teacher, teachers, where=f"{where}.teacher")
            name = f"{group}/{teacher}" if isinstance(config.teacher, list) else group
            model = (config.student or study.student).model
            training = training_of(study, config, name, group, model, teacher, where, extra=recipes)
            training = with_images(study, config, training, where)
            check_learns(model, f"{where}.student")
            if config.search is None:
                conditions[name] = training
            else:
                for cell in cells(training, config.search, f"{where}.search"):
                    conditions[cell.name] = cell
    taught = {training.model for training in conditions.values()} or {study.student.model}
    alone = {
        training.model
        for training in conditions.values()
        if training.teacher is None and training.searched is None
    }
    for model in sorted(taught - alone):
        name = "scratch" if "scratch" not in conditions else f"scratch-{_slug(model, conditions)}"
        if name in conditions:
            raise UserError(f"has a teacher, but is the name of the control of {model}.",
                            where=f"conditions.{name}", fix="Give it another name.")  # fmt: skip
        with located("recipe"):
            recipe = build_recipe(study.recipe)
        seen = {training.images for training in conditions.values() if training.model == model}
        images = seen.pop() if len(seen) == 1 else None  # those that all of its students see
        conditions = {name: Training(name, name, model, recipe, images=images), **conditions}
    return conditions


def _slug(model: str, taken: Iterable[str]) -> str:
    """What names the control of a model: the model's own name, where a condition may have it."""
    if ":" not in model and "@" not in model:
        return model
    short = re.sub("[^A-Za-z0-9._-]+", "-", model).strip("-.")[:60]
    tried = [short, *(f"{short}-{number}" for number in range(2, 100))]
    return next(each for each in tried if f"scratch-{each}" not in taken)


def _inherit(
    study: StudyConfig, name: str
) -> tuple[ConditionConfig, tuple[RecipeConfig | None, ...]]:
    """A condition with what it extends filled in, and the recipes that its own overrides."""
    config, recipes, seen = study.conditions[name], [], [name]
    while config.extends is not None:
        parent = config.extends
        if parent not in study.conditions:
            raise unknown("condition", parent, study.conditions,
                          where=f"conditions.{seen[-1]}.extends")  # fmt: skip
        if parent in seen:
            circle = " -> ".join((*seen, parent))
            raise UserError(f"conditions extend each other in a circle: {circle}.",
                            where=f"conditions.{seen[-1]}.extends")  # fmt: skip
        seen.append(parent)
        above = study.conditions[parent]
        recipes.insert(0, above.recipe)
        merged = {**_given(above), **_given(config), "extends": above.extends}
        config = ConditionConfig.model_construct(**merged)
    return config, tuple(recipes)


def _given(config: ConditionConfig) -> dict[str, Any]:
    """What a condition sets itself; a key that is null is one left out, here as in recipes."""
    return {key: value for key, value in config if value is not None}


def _check_size(
    study: StudyConfig, trainings: dict[str, Training], conditions: dict[str, Training]
) -> None:
    repeated = study.replicates
    runs = repeated.count * (len(trainings) + repeated.students * len(conditions))
    if runs > MOST_RUNS:
        raise UserError(f"the study would have {runs:,} runs; {MOST_RUNS:,} can be planned.",
                        where="replicates", fix="Lower count or students.")  # fmt: skip
    taught = sum(training.recipe.epochs for training in conditions.values())
    teaching = sum(training.recipe.epochs for training in trainings.values())
    total = repeated.count * (teaching + repeated.students * taught)
    if total > MOST_EPOCHS:
        raise UserError(f"the study would have {total:,} epochs; {MOST_EPOCHS:,} can be planned.",
                        where="recipe.epochs", fix="Lower it, or the replicates.")  # fmt: skip


def _check_claims(study: StudyConfig, expanded: Expanded) -> None:
    conditions, teachers = expanded.conditions, expanded.teachers
    for rank, claims in study.claims.ranked().items():
        for name, claim in claims.items():
            where = f"claims.{rank}.{name}"
            with located(where):
                unit_of(claim.trend.of if claim.trend else claim.metric)
            if claim.between is not None:
                _check_teachers(claim, teachers, where)
                continue
            named = _named_in(claim, conditions, teachers, where) + (claim.minus or [])
            if claim.account is not None:
                named = _with_cells(named, conditions, where)
            for pair in claim.also or []:
                for condition in pair:
                    if condition not in conditions:
                        raise unknown("condition", condition, conditions, where=f"{where}.also")
                check_precision(pair, expanded, f"{where}.also")
            for condition in named:
                if condition not in conditions:
                    raise unknown("condition", condition, conditions, where=where)
                if _over_teachers(claim) and conditions[condition].teacher is None:
                    raise UserError(
                        f"a {claim.kind} over teachers names {condition}, which has none.",
                        where=where,
                    )
            if claim.prediction is not None:
                _check_same_student(named, conditions, where)
                _check_short(claim.prediction.short, named, conditions, where)
            check_precision(named, expanded, where)


def _check_teachers(claim: ClaimConfig, teachers: dict[str, Teacher], where: str) -> None:
    """Raises UserError where a claim between teachers names one that the study does not have."""
    for name in claim.difference or claim.non_inferiority or claim.equivalence or []:
        if name not in teachers:
            raise unknown("teacher", name, teachers, where=where)


def _with_cells(named: list[str], conditions: dict[str, Training], where: str) -> list[str]:
    """The first condition of a claim at equal compute, and the cells of the search that is its
    second."""
    first, group = named
    searched = [c for c in conditions.values() if c.searched is not None]
    cells = [c for c in searched if c.group == group]
    if not cells:
        raise unknown("search", group, {c.group for c in searched}, where=where)
    if first in conditions:
        taught = conditions[first]
        if taught.teacher is None:
            raise UserError(f"{first} has no teacher, and so no account.", where=f"{where}.account")
        if taught.model != cells[0].model:
            raise UserError(f"{first} trains {taught.model}, and {group} {cells[0].model}.",
                            where=where, fix="Give the search the same student.")  # fmt: skip
    return [first, *(c.name for c in cells)]


def _named_in(
    claim: ClaimConfig, conditions: dict[str, Training], teachers: dict[str, Teacher], where: str
) -> list[str]:
    if claim.best is not None:
        return _family_in(claim.best.of, conditions, "a best of a family", where)
    if claim.prediction is not None:
        return _family_in(claim.prediction.of, conditions, "a prediction", where)
    if claim.trend is None:
        return claim.difference or claim.non_inferiority or claim.equivalence or []
    if isinstance(claim.trend.within, list):
        return claim.trend.within
    family = [c for c in conditions.values() if c.group == claim.trend.within]
    if not family:
        raise unknown("group of conditions", claim.trend.within,
                      {c.group for c in conditions.values()}, where=where)  # fmt: skip
    full = [c.name for c in family if c.teacher and teachers[c.teacher].is_full]
    if len(full) < 2:
        raise UserError("a trend needs at least two fully trained teachers in its group.",
                        where=where)  # fmt: skip
    return full


def _over_teachers(claim: ClaimConfig) -> bool:
    """Whether the claim orders its conditions by what their teachers are."""
    by_teachers = claim.trend or claim.prediction
    return bool(by_teachers) or (claim.best is not None and claim.best.over != "listed")


def _check_same_student(names: list[str], conditions: dict[str, Training], where: str) -> None:
    """What is predicted is which teacher is best for one student, compared with its control."""
    first = names[0]
    for name in names:
        if conditions[name].model != conditions[first].model:
            raise UserError(
                f"predicts over two students: {first} has {conditions[first].model}, "
                f"{name} has {conditions[name].model}.",
                where=where,
                fix="Make a prediction of each student.",
            )


def _check_short(
    short: str | None, named: list[str], conditions: dict[str, Training], where: str
) -> None:
    """Raises UserError where a short run lacks a teacher of the conditions that it is to choose
    from, or trains another student."""
    if short is None:
        return
    tried = {c.teacher: c for c in conditions.values() if c.group == short}
    if not tried:
        raise unknown("group of conditions", short, {c.group for c in conditions.values()},
                      where=where)  # fmt: skip
    for name in named:
        brief = tried.get(conditions[name].teacher)
        if brief is None or brief.model != conditions[name].model:
            raise UserError(f"{short} has no student like that of {name} under its teacher.",
                            where=where, fix=f"Add its teacher to {short}.")  # fmt: skip


def _family_in(
    named: str | list[str], conditions: dict[str, Training], what: str, where: str
) -> list[str]:
    """At least three different conditions: those listed, or all of one group."""
    if isinstance(named, str):
        groups = {c.group for c in conditions.values()}
        if named not in groups:
            raise unknown("group of conditions", named, groups, where=where)
        named = [c.name for c in conditions.values() if c.group == named]
    if len(set(named)) < max(3, len(named)):
        raise UserError(f"{what} needs at least three different conditions.", where=where)
    return named
