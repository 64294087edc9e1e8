"""From a condition's or a teacher's keys to a training: recipe, loss, weights, stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tutelage.config.design import Training
from tutelage.config.recipe import Recipe, build_recipe, resolve_duration
from tutelage.config.schema import (
    AdaptiveConfig,
    ConditionConfig,
    LossConfig,
    RecipeConfig,
    StudyConfig,
    TeacherConfig,
    Weights,
)
from tutelage.config.schema_losses import FEATURE_METHODS
from tutelage.config.schema_model import LOGITS
from tutelage.errors import UserError

# Keys of whoever has a teacher.
_FEATURE_WEIGHTS = tuple(f"{name}_weight" for name in FEATURE_METHODS)
TAUGHT = (
    "loss", "kd_weight", *_FEATURE_WEIGHTS, "kd_warmup", "distill_until", "decay", "after",
    "unlabelled",
)  # fmt: skip


@contextmanager
def located(where: str) -> Iterator[None]:
    """Adds the key to a UserError raised inside."""
    try:
        yield
    except UserError as error:
        raise UserError(error.what, where=error.where or where, fix=error.fix) from None


def training_of(
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
    """The training that the keys of `config`, found at the key `where`, ask for; `teacher` is the
    name of whoever teaches it, and `extra` are recipes under its own. Raises UserError."""
    with located(f"{where}.recipe" if config.recipe else "recipe"):
        recipe = build_recipe(study.recipe, *extra, config.recipe)
    if teacher is None:
        for key in TAUGHT:
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


def check_learns(model: str, where: str) -> None:
    """Raises UserError for a student that is a file of logits."""
    if is_logits(model):
        raise UserError("a file of logits teaches, and cannot learn.", where=where,
                        fix="Name a network.")  # fmt: skip


def is_logits(model: str) -> bool:
    """Whether a model is a file of logits, as `logits@FILE`."""
    return model == LOGITS or model.startswith((f"{LOGITS}@", f"{LOGITS} "))


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
