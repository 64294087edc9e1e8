"""From a valid study to everything it trains: names, stops, inheritance and lists resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from tutelage.config.contrasts import check_precision
from tutelage.config.design import Expanded, ScaledRef, StateRef, Teacher, Training
from tutelage.config.metrics import unit_of
from tutelage.config.recipe import Recipe, build_recipe, resolve_duration
from tutelage.config.schema import (
    AdaptiveConfig,
    ClaimConfig,
    ConditionConfig,
    Duration,
    LossConfig,
    RecipeConfig,
    ScaleConfig,
    StopConfig,
    StudyConfig,
    TeacherConfig,
    Weights,
)
from tutelage.config.schema_losses import FEATURE_METHODS
from tutelage.errors import UserError, unknown

# Keys of whoever has a teacher.
_FEATURE_WEIGHTS = tuple(f"{name}_weight" for name in FEATURE_METHODS)
_TAUGHT = (
    "loss", "kd_weight", *_FEATURE_WEIGHTS, "kd_warmup", "distill_until", "decay", "after",
)  # fmt: skip
MOST_RUNS, MOST_EPOCHS = 100_000, 5_000_000  # of a study; its plan is kept in memory


def expand(study: StudyConfig) -> Expanded:
    """Resolve names, stops, inheritance and lists. Raises UserError that names the key."""
    trainings: dict[str, Training] = {}
    teachers: dict[str, Teacher] = {}
    for name in study.teachers:
        _teacher(study, name, teachers, trainings, path=())
    conditions = _conditions(study, teachers)
    expanded = Expanded(teachers, trainings, conditions)
    _check_claims(study, expanded)
    _check_size(study, trainings, conditions)
    return expanded


def _teacher(
    study: StudyConfig,
    name: str,
    teachers: dict[str, Teacher],
    trainings: dict[str, Training],
    path: tuple[str, ...],
) -> Teacher:
    if name in teachers:
        return teachers[name]
    if name not in study.teachers:
        raise unknown("teacher", name, study.teachers, where=f"teachers.{path[-1]}")
    if name in path:
        circle = " -> ".join((*path, name))
        raise UserError(f"teachers refer to each other in a circle: {circle}.",
                        where=f"teachers.{path[-1]}")  # fmt: skip
    config, where = study.teachers[name], f"teachers.{name}"
    path = (*path, name)

    def other(which: str) -> Teacher:
        return _teacher(study, which, teachers, trainings, path)

    if config.of:
        _refuse_training_keys(config, where)
        base = other(config.of)
        training = trainings[base.training]
    else:
        tutor = other(config.teacher).name if config.teacher else None
        training = _training(study, config, name, name, config.model or "", tutor, where)
        base = Teacher(name, StateRef(name), name, "full", None, tutor)
    teacher = replace(base, name=name)
    if config.stop is not None:
        if base.stop != "full" or base.scaled:
            raise UserError(
                "stops a teacher that is already stopped or scaled.", where=f"{where}.stop"
            )
        training, at, stop = _stopped(config.stop, training, where)
        if config.stop.compressed is not None or config.stop.cooldown is not None:
            training = replace(training, name=name, group=name)
        teacher = replace(
            teacher, reference=StateRef(training.name, at), training=training.name, stop=stop
        )
    if config.scale is not None:
        if base.scaled:
            raise UserError("scales a teacher that is already scaled.", where=f"{where}.scale")
        teacher = _scaled(teacher, config.scale, other)
    trainings[training.name] = training
    teachers[name] = teacher
    return teacher


def _scaled(teacher: Teacher, scale: ScaleConfig, other: Callable[[str], Teacher]) -> Teacher:
    if scale.entropy_of is None:
        return replace(teacher, reference=ScaledRef(teacher.reference), scaled="calibrated")
    target, temperature = other(scale.entropy_of), scale.temperature
    reference = ScaledRef(teacher.reference, target.reference, temperature)
    return replace(
        teacher, reference=reference, scaled=f"entropy of {target.name} at T {temperature:g}"
    )


def _refuse_training_keys(config: TeacherConfig, where: str) -> None:
    own = (*_TAUGHT, "ce_weight", "recipe", "teacher")
    for key in own:
        if getattr(config, key) is not None:
            raise UserError(
                f"a teacher that is `of` another is trained as that one is; {key} has no effect.",
                where=f"{where}.{key}",
                fix="Remove it, or name a model instead of `of`.",
            )


def _stopped(
    stop: StopConfig, training: Training, where: str
) -> tuple[Training, int | Literal["final", "best"], str]:
    """The training that a stop asks for, the state of it that is taken, and the stop in words."""
    epochs = training.recipe.epochs
    if stop.compressed is not None:
        with _at(f"{where}.stop.compressed"):
            recipe = training.recipe.compressed(stop.compressed)
        training = _scaled_schedule(training, recipe)
        how = stop.compressed if isinstance(stop.compressed, str) else f"{stop.compressed:g}"
        text = f"compressed {how} ({recipe.epochs} epochs)"
        return training, "final", text
    if stop.cooldown is not None:
        epoch = _within(stop.cooldown, epochs, f"{where}.stop.cooldown")
        recipe = training.recipe.cooled_down(epoch)
        training = _scaled_schedule(training, recipe)
        text = f"cooled down from epoch {epoch} ({recipe.epochs} epochs)"
        return training, "final", text
    if stop.truncated is not None:
        epoch = _within(stop.truncated, epochs, f"{where}.stop.truncated")
        at = epoch if epoch < epochs else "final"
        return training, at, f"truncated at epoch {epoch} of {epochs}"
    return training, "best", "best on validation"


def _scaled_schedule(training: Training, recipe: Recipe) -> Training:
    """The training with another recipe. The shares of the schedule during which a teacher's own
    teacher is heard, and is heard more and more, stay the same."""
    until, warmup, watched_from = (
        resolve_duration(epochs / training.recipe.epochs, recipe.epochs)
        for epochs in (training.until, training.kd_warmup, training.watched_from)
    )
    return replace(
        training, recipe=recipe, until=until, kd_warmup=warmup, watched_from=watched_from
    )


def _within(duration: Duration, epochs: int, where: str) -> int:
    """The epoch of a stop, which lies within the training."""
    epoch = resolve_duration(duration, epochs)
    if not 1 <= epoch <= epochs:
        raise UserError(
            f"a stop after {epoch} epochs does not lie within the {epochs} trained.", where=where
        )
    return epoch


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Adds the key to a UserError raised inside."""
    try:
        yield
    except UserError as error:
        raise UserError(error.what, where=error.where or where, fix=error.fix) from None


def _training(
    study: StudyConfig,
    config: TeacherConfig | ConditionConfig,
    name: str,
    group: str,
    model: str,
    teacher: str | None,
    where: str,
    *,
    extra: tuple[RecipeConfig | None, ...] = (),
) -> Training:
    with _at(f"{where}.recipe" if config.recipe else "recipe"):
        recipe = build_recipe(study.recipe, *extra, config.recipe)
    if teacher is None:
        for key in _TAUGHT:
            if getattr(config, key) is not None:
                raise UserError(f"{key} needs a teacher, and none is named.",
                                where=f"{where}.{key}", fix="Add `teacher:`.")  # fmt: skip
        weight = 1.0 if config.ce_weight is None else config.ce_weight
        if weight == 0.0:
            raise UserError("without a teacher and with weight 0 nothing is learned.",
                            where=f"{where}.ce_weight")  # fmt: skip
        return Training(name, group, model, recipe, weights=Weights(ce_weight=weight))
    loss = config.loss or LossConfig.model_validate("kd")
    method, ends, adaptive = loss.method, config.distill_until, None
    if isinstance(ends, AdaptiveConfig):
        adaptive, ends = ends, 1.0
        _check_adaptive(adaptive, config, loss, recipe, f"{where}.distill_until")
    until, warmup, watched_from = (
        resolve_duration(usual if given is None else given, recipe.epochs)
        for given, usual in (
            (ends, method.distill_until), (config.kd_warmup, method.kd_warmup),
            (adaptive.earliest if adaptive else None, 0),
        )
    )  # fmt: skip
    if until > recipe.epochs:
        raise UserError(f"distillation until epoch {until} lies beyond the {recipe.epochs} epochs.",
                        where=f"{where}.distill_until")  # fmt: skip
    if config.kd_warmup is not None and warmup > until:
        raise UserError(f"a rise of {warmup} epochs is longer than the distillation, {until}.",
                        where=f"{where}.kd_warmup")  # fmt: skip
    ends_early = until < recipe.epochs or adaptive is not None
    if config.after is not None and not ends_early and config.decay != "linear":
        raise UserError("after needs distill_until before the end.", where=f"{where}.after")
    weights = Weights(
        ce_weight=method.ce_weight if config.ce_weight is None else config.ce_weight,
        kd_weight=method.kd_weight if config.kd_weight is None else config.kd_weight,
        **_feature_weights(loss, config),
    )
    after = config.after or Weights()
    for key, pair in (("kd_weight", weights), ("after", after)):
        _check_weights(loss, pair, f"{where}.{key}")
    if loss.crd is not None and (recipe.mixup or recipe.cutmix):
        raise UserError("contrasts single images, and mixup and cutmix mix them.",
                        where=f"{where}.loss.crd", fix="Leave out one of both.")  # fmt: skip
    return Training(
        name, group, model, recipe, teacher, loss, weights, until, config.decay or "none", after,
        min(warmup, until), adaptive, watched_from,
    )  # fmt: skip


def _check_adaptive(
    rule: AdaptiveConfig,
    config: TeacherConfig | ConditionConfig,
    loss: LossConfig,
    recipe: Recipe,
    where: str,
) -> None:
    """Raises UserError where an adaptive stop cannot be decided."""
    problem = None
    if config.decay == "linear":
        problem = "a linear decay has to know when it ends, which an adaptive stop does not."
    elif loss.annealing is not None:
        problem = "annealing has to know when it ends, which an adaptive stop does not."
    elif rule.adaptive == "gradients" and loss.name is None:
        problem = "its cosine is of a loss of logits, and there is none."
    elif rule.adaptive == "validation" and not recipe.decays:
        problem = "it waits for a decay of the learning rate, and the schedule has none."
    elif resolve_duration(rule.earliest, recipe.epochs) + rule.patience > recipe.epochs:
        problem = (
            f"it would be measured from epoch {resolve_duration(rule.earliest, recipe.epochs)} on, "
            f"{rule.patience} times or more, and there are {recipe.epochs}."
        )
    if problem is not None:
        raise UserError(problem, where=where, fix="Name the epoch at which to stop instead.")


def _feature_weights(loss: LossConfig, config: TeacherConfig | ConditionConfig) -> dict[str, float]:
    """The weights of losses of features by their keys: what is set, or what their authors use."""
    usual = {name: FEATURE_METHODS[name].weight for name in loss.of_features}
    given = {name: getattr(config, f"{name}_weight") for name in FEATURE_METHODS}
    return {
        f"{name}_weight": usual.get(name, 0.0) if weight is None else weight
        for name, weight in given.items()
    }


def _check_weights(loss: LossConfig, weights: Weights, where: str) -> None:
    """Raises UserError where nothing is learned, or a weight is that of no loss."""
    features = weights.of_features
    if weights.ce_weight == weights.kd_weight == 0 and not any(features.values()):
        raise UserError("both weights are 0: nothing is learned.", where=where)
    if weights.kd_weight > 0 and loss.name is None:
        raise UserError(
            "kd_weight is that of a loss of logits, and there is none.",
            where=where,
            fix="Add one to `loss`, such as `kd: {}`, or leave the weight out.",
        )
    for name, weight in features.items():
        if weight > 0 and name not in loss.of_features:
            raise UserError(
                f"{name}_weight is that of {FEATURE_METHODS[name].words}, which is not named.",
                where=where,
                fix=f"Add `{name}: {{}}` to `loss`, or leave the weight out.",
            )


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
            conditions[name] = _training(
                study, config, name, group, model, teacher, where, extra=recipes
            )
    taught = {training.model for training in conditions.values()} or {study.student.model}
    alone = {training.model for training in conditions.values() if training.teacher is None}
    for model in sorted(taught - alone):
        name = "scratch" if "scratch" not in conditions else f"scratch-{model}"
        if name in conditions:
            raise UserError(f"has a teacher, but is the name of the control of {model}.",
                            where=f"conditions.{name}", fix="Give it another name.")  # fmt: skip
        with _at("recipe"):
            recipe = build_recipe(study.recipe)
        conditions = {name: Training(name, name, model, recipe), **conditions}
    return conditions


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
    for rank, claims in (("primary", study.claims.primary), ("secondary", study.claims.secondary)):
        for name, claim in claims.items():
            where = f"claims.{rank}.{name}"
            with _at(where):
                unit_of(claim.trend.of if claim.trend else claim.metric)
            named = _named_in(claim, conditions, teachers, where)
            for condition in named:
                if condition not in conditions:
                    raise unknown("condition", condition, conditions, where=where)
                if claim.trend and conditions[condition].teacher is None:
                    raise UserError(
                        f"a trend over teachers names {condition}, which has none.", where=where
                    )
            check_precision(named, expanded, where)


def _named_in(
    claim: ClaimConfig, conditions: dict[str, Training], teachers: dict[str, Teacher], where: str
) -> list[str]:
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
