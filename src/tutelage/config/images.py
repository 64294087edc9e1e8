"""Which images a training sees: all training images or a half, and images without labels beside."""

from __future__ import annotations

from dataclasses import replace

from tutelage.config.design import Expanded, Training
from tutelage.config.schema import ConditionConfig, StudyConfig, TeacherConfig
from tutelage.errors import UserError

EXTRA = "extra"


def with_images(
    study: StudyConfig, config: TeacherConfig | ConditionConfig, training: Training, where: str
) -> Training:
    """`training` on the images that `config`, found at the key `where`, names.

    Raises UserError where images without labels are none, or where what is trained on them asks
    for labels.
    """
    if config.unlabelled is not None:
        key = f"{where}.unlabelled"
        _check_apart(study, config, key)
        _check_without_labels(training, key)
    return replace(training, images=config.images, unlabelled=config.unlabelled)


def check_extra(study: StudyConfig, expanded: Expanded) -> None:
    """Raises UserError for extra images of which nothing makes use."""
    every = (*expanded.trainings.values(), *expanded.conditions.values())
    used = any(training.unlabelled == EXTRA for training in every)
    if study.data.unlabelled is not None and not used:
        raise UserError("no condition makes use of these images.", where="data.unlabelled",
                        fix="Add `unlabelled: extra` to one with a teacher.")  # fmt: skip


def _check_apart(study: StudyConfig, config: TeacherConfig | ConditionConfig, where: str) -> None:
    """Raises UserError where the images are not there, or have labels in this training."""
    if config.unlabelled == EXTRA:
        if study.data.unlabelled is None:
            raise UserError("there are no extra images.", where=where,
                            fix="Set data.unlabelled to a folder of them, or to how many of the "
                            "source's images shall lose their labels.")  # fmt: skip
    elif config.images in (None, config.unlabelled):
        other = "half-b" if config.unlabelled == "half-a" else "half-a"
        raise UserError(f"the labels of {config.unlabelled} are trained on, too.", where=where,
                        fix=f"Add `images: {other}`.")  # fmt: skip


def _check_without_labels(training: Training, where: str) -> None:
    """Raises UserError where every image needs a label."""
    loss, recipe, problem = training.loss, training.recipe, None
    if recipe.mixup or recipe.cutmix:
        problem = "mixup and cutmix mix the labels of images, and these have none."
    elif loss is not None and loss.dkd is not None:
        problem = "DKD tells the label's class from the others, and these images have no label."
    elif loss is not None and loss.crd is not None:
        problem = "CRD contrasts images of different labels, and these have none."
    elif loss is not None and loss.own is not None and loss.own.labels:
        problem = f"{loss.own.function} takes labels, and these images have none."
    elif training.adaptive is not None and training.adaptive.adaptive == "gradients":
        problem = "an adaptive stop by gradients compares those of labels, and these have none."
    if problem is not None:
        raise UserError(problem, where=where, fix="Leave out one of both.")
