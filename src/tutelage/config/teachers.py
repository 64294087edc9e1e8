"""From a teacher's keys to a reference, and to the trainings that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from tutelage.config.design import (
    MeanRef,
    PartsRef,
    Reference,
    ScaledRef,
    StagesRef,
    StateRef,
    Teacher,
    Training,
    children_of,
    stages_of,
    states_heard,
)
from tutelage.config.images import EXTRA, with_images
from tutelage.config.recipe import Recipe, resolve_duration
from tutelage.config.schema import (
    Duration,
    ScaleConfig,
    ScheduleConfig,
    StopConfig,
    StudyConfig,
    TeacherConfig,
)
from tutelage.config.schema_model import PRETRAINED, read_model
from tutelage.config.trainings import TAUGHT, is_logits, located, training_of
from tutelage.errors import UserError, unknown


def resolve_teacher(
    study: StudyConfig,
    name: str,
    teachers: dict[str, Teacher],
    trainings: dict[str, Training],
    path: tuple[str, ...],
) -> Teacher:
    """The teacher of that name, put into `teachers`, and what it trains into `trainings`.

    `path` are the teachers that ask for it. Raises UserError that names the key.
    """
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
        return resolve_teacher(study, which, teachers, trainings, path)

    if config.ensemble or config.schedule:
        _refuse_training_keys(config, where)
        teachers[name] = _several(name, config, other, where)
        return teachers[name]
    if config.of:
        _refuse_training_keys(config, where)
        base = other(config.of)
        training = trainings[base.training]
    else:
        given = _is_given(config, where)
        tutor = other(config.teacher).name if config.teacher else None
        training = training_of(study, config, name, name, config.model or "", tutor, where)
        training = with_images(study, config, training, where)
        training = _untrained(training) if given else training
        training = replace(training, member=config.member or 0)
        stop = "as it came" if given else "full"
        base = Teacher(name, StateRef(name), name, stop, None, tutor)
    teacher = replace(base, name=name)
    if config.stop is not None:
        teacher, training = _stopped_teacher(teacher, config.stop, training, where)
    parts = [training]
    if config.cross_fit is not None:
        tutor = other(training.teacher) if training.teacher else None
        _check_cross_fit(teacher, training, tutor, f"{where}.cross_fit")
        teacher, parts = _cross_fitted(teacher, training, config.cross_fit)
    if config.scale is not None:
        teacher = _scaled(teacher, config.scale, other, where)
    trainings |= {part.name: part for part in parts}
    teachers[name] = teacher
    return teacher


def _is_given(config: TeacherConfig, where: str) -> bool:
    """Whether a teacher is a network with weights from outside, left as it came. Raises UserError
    for keys that it then cannot have."""
    model = config.model or ""
    try:
        weights = read_model(model).weights
    except ValueError as error:
        raise UserError(f"{error}.", where=f"{where}.model") from None
    if is_logits(model):
        _check_file_of_logits(config, model, where)
    if config.fine_tune and weights is None:
        raise UserError("fine_tune needs weights to begin with, and none are named.",
                        where=f"{where}.fine_tune", fix="Write model: NAME@FILE.")  # fmt: skip
    if weights is None or config.fine_tune:
        return False
    fix = "Add `fine_tune: true` to train it, or leave this out."
    for key in (*TAUGHT, "ce_weight", "recipe", "teacher", "stop", "cross_fit", "member", "images"):
        if getattr(config, key) is not None:
            what = f"this teacher has weights from outside and is not trained; {key} has no effect."
            raise UserError(what, where=f"{where}.{key}", fix=fix)
    if read_model(model).head is not None:
        raise UserError("this teacher is not trained, and a new head knows nothing.",
                        where=f"{where}.model.head", fix=fix)  # fmt: skip
    return True


def _check_file_of_logits(config: TeacherConfig, text: str, where: str) -> None:
    """Raises UserError where no file of logits is named, or something is asked of it that only a
    network can do."""
    model, key = read_model(text), f"{where}.model"
    if model.weights in (None, PRETRAINED):
        raise UserError("logits needs the file that holds them.", where=key,
                        fix="Write model: logits@teacher.npz.")  # fmt: skip
    if config.fine_tune:
        raise UserError("a file of logits cannot be trained.", where=f"{where}.fine_tune",
                        fix="Leave it out.")  # fmt: skip
    given = model.model_dump(exclude={"name", "weights", "class_order"}, exclude_none=True)
    if given:
        raise UserError(f"{next(iter(given))} has no effect on a file of logits.", where=key,
                        fix="Leave it out; class_order alone may be said.")  # fmt: skip


def check_logits(
    study: StudyConfig,
    training: Training,
    teacher: Teacher,
    trainings: Mapping[str, Training],
    where: str,
) -> None:
    """Raises UserError where a training asks a file of logits for more than one image's logits."""
    states = {
        state.training for turn in stages_of(teacher.reference) for state in states_heard(turn)
    }
    if not any(is_logits(trainings[name].model) for name in states):
        return
    if training.recipe.mixup or training.recipe.cutmix:
        raise UserError(f"{teacher.name} is a file of logits, and says nothing of mixed images.",
                        where=f"{where}.recipe", fix="Leave out mixup and cutmix.")  # fmt: skip
    if training.unlabelled == EXTRA and isinstance(study.data.unlabelled, str):
        raise UserError(f"{teacher.name} is a file of logits, and says nothing of images from "
                        "elsewhere.", where=f"{where}.unlabelled",
                        fix="Take images of the source: data.unlabelled as a number.")  # fmt: skip
    if training.features:
        raise UserError(f"{teacher.name} is a file of logits, and has no features.",
                        where=f"{where}.loss", fix="Take a loss of logits.")  # fmt: skip


def _untrained(training: Training) -> Training:
    """The same with no epochs: what it ends with is what it began with."""
    recipe = replace(training.recipe, epochs=0, schedule=ScheduleConfig(), warmup=0, ema=0.0, swa=0)
    return replace(training, recipe=recipe)


def _stopped_teacher(
    teacher: Teacher, stop: StopConfig, training: Training, where: str
) -> tuple[Teacher, Training]:
    if training.recipe.epochs == 0:
        raise UserError("stops a teacher that is not trained here.", where=f"{where}.stop",
                        fix="Add `fine_tune: true` to that teacher.")  # fmt: skip
    if teacher.stop != "full" or teacher.scaled:
        raise UserError("stops a teacher that is already stopped or scaled.",
                        where=f"{where}.stop")  # fmt: skip
    if teacher.made_of:
        raise UserError("stops a teacher that is more than one network.", where=f"{where}.stop",
                        fix="Stop its networks.")  # fmt: skip
    training, at, text = _stopped(stop, training, where)
    if stop.compressed is not None or stop.cooldown is not None:
        training = replace(training, name=teacher.name, group=teacher.name)
    reference = StateRef(training.name, at)
    return replace(teacher, reference=reference, training=training.name, stop=text), training


def _check_cross_fit(
    teacher: Teacher, training: Training, tutor: Teacher | None, where: str
) -> None:
    """Raises UserError where no training can be repeated without each part of the images."""
    if teacher.stop == "as it came":
        raise UserError("cross-fits a teacher that is not trained here.", where=where)
    if not isinstance(teacher.reference, StateRef):
        raise UserError("cross-fits a teacher that is scaled, or more than one network.",
                        where=where)  # fmt: skip
    if training.images or training.unlabelled:
        raise UserError("cross-fits a teacher that is not trained on all training images alone.",
                        where=where, fix="Leave out its images and unlabelled.")  # fmt: skip
    if tutor is not None and _holds_parts(tutor.reference):
        raise UserError(f"{tutor.name}, who teaches it, is cross-fitted: the parts of both are not "
                        "the same.", where=where)  # fmt: skip


def check_heard(training: Training, teacher: Teacher, where: str) -> None:
    """Raises UserError, which names a key below `where`, where a training cannot hear all of what
    its teacher is made of."""
    reference, recipe = teacher.reference, training.recipe
    turns = [str(turn) for turn, _ in enumerate(stages_of(reference))]
    taught = [step.teacher for step in training.steps(*turns) if step.distils]
    if len(turns) > 1 and len(set(taught)) < len(turns):
        raise UserError(
            f"{teacher.name} is {len(turns)} teachers in turn, of whom {len(set(taught))} would be "
            f"heard in {len(taught)} epochs of distillation.",
            where=f"{where}.teacher",
            fix="Name fewer teachers there, or distil for longer.",
        )
    if (training.images or training.unlabelled) and _holds_parts(reference):
        raise UserError(
            f"each network of the cross-fitted {teacher.name} speaks on one part of all training "
            "images, and these are not all of them, or more.",
            where=f"{where}.{'images' if training.images else 'unlabelled'}",
            fix="Take a teacher that is not cross-fitted.",
        )
    if (recipe.mixup or recipe.cutmix) and _holds_parts(reference):
        raise UserError(
            "mixup and cutmix mix images of different parts, and no network of the cross-fitted "
            f"{teacher.name} has seen neither.",
            where=f"{where}.recipe",
            fix="Leave them out, or take a teacher that is not cross-fitted.",
        )


def _holds_parts(reference: Reference) -> bool:
    return isinstance(reference, PartsRef) or any(map(_holds_parts, children_of(reference)))


def _several(
    name: str, config: TeacherConfig, other: Callable[[str], Teacher], where: str
) -> Teacher:
    """An ensemble, or teachers that are heard one after the other."""
    for key in ("stop", "cross_fit", *(["scale"] if config.schedule else [])):
        if getattr(config, key) is not None:
            raise UserError(f"{key} is for each of the teachers that are named here.",
                            where=f"{where}.{key}", fix="Give it to them.")  # fmt: skip
    members = [other(each) for each in config.ensemble or config.schedule or []]
    for member in members:
        if isinstance(member.reference, StagesRef):
            key = "ensemble" if config.ensemble else "schedule"
            raise UserError(f"{member.name} is itself heard in turns.", where=f"{where}.{key}")
    names = ", ".join(member.name for member in members)
    references = tuple(member.reference for member in members)
    reference = MeanRef(references) if config.ensemble else StagesRef(references)
    made_of = f"mean of {names}" if config.ensemble else f"{names} in turn"
    last = members[-1]
    teacher = Teacher(
        name, reference, last.training, "full", None, None, made_of,
        figures_of=last.name if config.schedule else None,
    )  # fmt: skip
    return teacher if config.scale is None else _scaled(teacher, config.scale, other, where)


def _cross_fitted(
    teacher: Teacher, training: Training, count: int
) -> tuple[Teacher, list[Training]]:
    """A teacher's training repeated without each part of the images, and what its networks say of
    the parts that they have not seen."""
    assert isinstance(teacher.reference, StateRef), "see _check_cross_fit"
    parts = [
        replace(
            training, name=f"{training.name}#{k + 1}of{count}", group=teacher.name, part=(k, count)
        )
        for k in range(count)
    ]
    states = tuple(replace(teacher.reference, training=part.name) for part in parts)
    made_of = f"{count} networks, each without a part of the images"
    fitted = replace(teacher, reference=PartsRef(states), training=parts[-1].name, made_of=made_of)
    return fitted, parts


def _scaled(
    teacher: Teacher, scale: ScaleConfig, other: Callable[[str], Teacher], where: str
) -> Teacher:
    if teacher.scaled:
        raise UserError("scales a teacher that is already scaled.", where=f"{where}.scale")
    if isinstance(teacher.reference, StagesRef):
        raise UserError("scales a teacher that is heard in turns.", where=f"{where}.scale",
                        fix="Scale those that are heard.")  # fmt: skip
    if scale.entropy_of is None:
        return replace(teacher, reference=ScaledRef(teacher.reference), scaled="calibrated")
    target, temperature = other(scale.entropy_of), scale.temperature
    reference = ScaledRef(teacher.reference, target.reference, temperature)
    return replace(
        teacher, reference=reference, scaled=f"entropy of {target.name} at T {temperature:g}"
    )


def _refuse_training_keys(config: TeacherConfig, where: str) -> None:
    own = (*TAUGHT, "ce_weight", "recipe", "teacher", "fine_tune", "member", "images")
    for key in own:
        if getattr(config, key) is not None:
            name = "of" if config.of else "ensemble" if config.ensemble else "schedule"
            raise UserError(
                f"a teacher with `{name}` is trained as what it names is; {key} has no effect.",
                where=f"{where}.{key}",
                fix=f"Remove it, or name a model instead of `{name}`.",
            )


def _stopped(
    stop: StopConfig, training: Training, where: str
) -> tuple[Training, int | Literal["final", "best"], str]:
    """The training that a stop asks for, the state of it that is taken, and the stop in words."""
    epochs = training.recipe.epochs
    if stop.compressed is not None:
        with located(f"{where}.stop.compressed"):
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
