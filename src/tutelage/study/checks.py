"""What of a study can be told to be wrong before anything is trained: networks and data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tutelage.config.design import Expanded, Training
from tutelage.config.expand import expand
from tutelage.config.schema import StudyConfig
from tutelage.config.schema_losses import FEATURE_METHODS
from tutelage.config.trainings import located
from tutelage.data.parts import check_parts, trained_count, without_part
from tutelage.data.world import World
from tutelage.errors import UserError
from tutelage.models.catalog import check_shape, described

if TYPE_CHECKING:
    from tutelage.models.identity import Identity
    from tutelage.models.logged import Given


def check_names(config: StudyConfig, expanded: Expanded) -> None:
    """Raises UserError for a model that does not exist; the key is named."""
    for kind, trainings in (("teachers", expanded.trainings), ("conditions", expanded.conditions)):
        for name, training in trainings.items():
            try:
                described(training.model)
            except UserError as error:
                where = f"{kind}.{name}.model"
                if kind == "conditions" and training.model == config.student.model:
                    where = "student.model"
                raise UserError(error.what, where=where, fix=error.fix) from None


def check_data(config: StudyConfig, world: World, models: Mapping[str, str]) -> None:
    """Raises UserError for views, networks or batches that the images do not allow. `models` are
    the texts that identify networks, by those of the study."""
    from tutelage.data.stream import labelled_in_batch
    from tutelage.data.views import parse_views

    parse_views(config.data.views_text).check(world.shape)
    expanded = expand(config)
    for training in (*expanded.trainings.values(), *expanded.conditions.values()):
        check_shape(training.model, world.shape, where=f"the model of {training.name}")
        if training.part is not None:
            check_parts(world, training.part[1], where=f"teachers.{training.group}.cross_fit")
            images = len(without_part(world, *training.part).train)
        else:
            images, without = _counts(world, training)
            batch = training.recipe.batch_size
            if without and batch <= images:
                with located(f"unlabelled of {training.name}"):
                    labelled_in_batch(batch, images, images + without)
        if training.recipe.batch_size > images:
            raise UserError(
                f"a batch of {training.recipe.batch_size} is larger than the {images} training "
                "images.",
                where=f"recipe.batch_size of {training.name}",
                fix="Lower it, or take more images (data.train).",
            )
        if training.features:
            _check_features(training, expanded, world, models)


def _counts(world: World, training: Training) -> tuple[int, int]:
    """How many images with labels, and how many without, a training sees. Raises UserError where
    the halves of the training images would not have every class."""
    if training.images is not None:
        check_parts(world, 2, where=f"images of {training.name}")
    extra = 0 if world.unlabelled is None else len(world.unlabelled)
    return trained_count(len(world.train), extra, training.images, training.unlabelled)


def identify_models(expanded: Expanded, world: World, given: Given) -> dict[str, Identity]:
    """What identifies each network that is not built in, or starts from weights from outside, by
    its text in the study; `given` gives the source's images as its files have them. Raises
    UserError, naming the training, where one does not work."""
    found: dict[str, Identity] = {}
    for training in (*expanded.trainings.values(), *expanded.conditions.values()):
        config = described(training.model)
        if training.model in found or (config.is_bare and config.weights is None):
            continue
        from tutelage.models.identity import identify

        try:
            found[training.model] = identify(training.model, world.shape, world.class_names, given)
        except UserError as error:
            where = f"the model of {training.name}" + (f", {error.where}" if error.where else "")
            raise UserError(error.what, where=where, fix=error.fix) from error
    return found


def identify_losses(expanded: Expanded) -> dict[str, str]:
    """The mark of the code of each loss of the user's own that has no version, by `OwnConfig.key`.
    Raises UserError, naming the training, where one does not work."""
    found: dict[str, str] = {}
    for training in (*expanded.trainings.values(), *expanded.conditions.values()):
        own = training.loss.own if training.loss is not None else None
        if own is None or own.key in found:
            continue
        from tutelage.losses.own import code_mark, try_loss

        try:
            try_loss(own.function, own.arguments or {}, labels=own.labels)
            if own.version is None:
                found[own.key] = code_mark(own.function)
        except UserError as error:
            where = f"the loss of {training.name}" + (f", {error.where}" if error.where else "")
            raise UserError(error.what, where=where, fix=error.fix) from error
    return found


def _check_features(
    training: Training, expanded: Expanded, world: World, models: Mapping[str, str]
) -> None:
    """Raises UserError where the features of student and teacher cannot be compared."""
    import torch

    from tutelage.models.build import new_model
    from tutelage.models.features import check_pair

    taught_by = expanded.teachers[training.teacher or ""]
    if taught_by.made_of is not None:
        raise UserError(
            f"features are those of one network; {taught_by.name} is {taught_by.made_of}.",
            where=f"loss.{next(iter(training.features))} of {training.name}",
            fix="Name another teacher, or a loss of logits.",
        )
    teacher = expanded.trainings[taught_by.training]
    student, other = (
        new_model(models.get(t.model, t.model), world.shape, world.classes)
        for t in (training, teacher)
    )
    height, width, channels = world.shape
    images = torch.zeros(2, channels, height, width)
    for name, options in training.features.items():
        method = FEATURE_METHODS[name]
        try:
            check_pair(student, other, images, options.student, options.teacher,
                       reads=method.reads, maps=method.maps)  # fmt: skip
        except UserError as error:
            where = f"loss.{name} of {training.name}" + (f", {error.where}" if error.where else "")
            raise UserError(error.what, where=where, fix=error.fix) from None
    if "crd" in training.features and len(set(world.train.labels.tolist())) < 2:
        raise UserError("contrasts images of different classes, and all training images are of "
                        "one.", where=f"loss.crd of {training.name}")  # fmt: skip
