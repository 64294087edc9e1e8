"""One student from one teacher, with what a fair answer takes, for who has no study file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tutelage.config.load import validate
from tutelage.config.schema import StudyConfig
from tutelage.config.schema_model import read_model
from tutelage.errors import UserError

EPOCHS, BATCH_SIZE, REPLICATES = 60, 64, 3
_UPRIGHT = ("digits", "mnist", "fashion-mnist")  # mirrored, these are something else
_HEADER = """\
# Written by `tutelage distill`. It is an ordinary study: change it, and `tutelage run` it.
"""


def distillation(
    student: str,
    teacher: str,
    data: str | None = None,
    *,
    source: str = "files",
    size: int | None = None,
    views: str | None = None,
    epochs: int = EPOCHS,
    batch_size: int = BATCH_SIZE,
    lr: float | None = None,
    temperature: float = 4.0,
    replicates: int = REPLICATES,
    fine_tune: bool = False,
    early: bool = True,
    unlabelled: str | None = None,
) -> StudyConfig:
    """The study that `tutelage distill` runs.

    A student trained from labels alone stands beside the distilled one. A teacher that is trained
    here, or fine-tuned, is also stopped early (a short schedule of 0.35 of its epochs), because the
    larger network is often the better teacher that way; not so with `early` False. `student` and
    `teacher` are models as in a study file, `data` the path of the images, and `source` the name of
    a data set or `files`. With `unlabelled`, a folder of images without labels, students are also
    taught on these, in as many steps. The recipe is one that suits most networks: AdamW with a
    warm-up of a twentieth of the epochs, then a cosine.

    Raises UserError for what is wrong with any of them.
    """
    given = _reads(teacher, "--teacher").weights is not None and not fine_tune
    teachers: dict[str, Any] = {"teacher": {"model": teacher}}
    if fine_tune:
        teachers["teacher"]["fine_tune"] = True
    if early and not given:
        teachers["early"] = {"of": "teacher", "stop": {"compressed": 0.35}}
    images = {"source": source, "path": data, "size": size, "views": views or _views(source, size)}
    more = {}
    if unlabelled is not None:
        images["unlabelled"] = unlabelled
        more = {"with-unlabelled": {"extends": "distilled", "unlabelled": "extra"}}
    return validate(
        {
            "name": f"distill-{_plain(student)}",
            "question": f"Is {_plain(student)} better with {_plain(teacher)} as its teacher?",
            "data": {key: value for key, value in images.items() if value is not None},
            "recipe": {
                "epochs": epochs,
                "batch_size": batch_size,
                "optimizer": {"adamw": {} if lr is None else {"lr": lr}},
                "schedule": {"cosine": True},
                "warmup": 0.05,
                "clip_norm": 1.0,
            },
            "student": {"model": _reads(student, "--student").text},
            "teachers": teachers,
            "conditions": {
                "scratch": {},
                "distilled": {
                    "loss": {"kd": {"temperature": temperature}},
                    "ce_weight": 0.1,
                    "kd_weight": 0.9,
                    "teacher": list(teachers),
                },
                **more,
            },
            "replicates": {"count": replicates, "vary": ["split", "teacher"], "students": 1},
            "claims": {
                "primary": {
                    "distillation-helps": {
                        "difference": ["distilled/teacher", "scratch"],
                        "direction": "less",
                        "margin": 0.5,
                    }
                }
            },
        },
        source="distill",
    )


def write_study(config: StudyConfig, path: Path) -> None:
    """The study as a file, to be changed and run. Raises UserError where there is one already."""
    form = config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_HEADER)
            yaml.safe_dump(form, file, sort_keys=False, allow_unicode=True)
    except FileExistsError:
        raise UserError("is there already.", where=str(path), fix="Name another file.") from None


def _reads(model: str, option: str) -> Any:
    try:
        return read_model(model)
    except ValueError as error:
        raise UserError(f"{error}.", where=option) from None


def _plain(model: str) -> str:
    """A model's name as a part of another name: of a file its last part, without weights."""
    name = model.partition(" {")[0].partition("@")[0].rsplit("/", 1)[-1]
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in name).strip("-.") or "student"


def _views(source: str, size: int | None) -> str:
    """Augmentation that most photographs bear; writing is not mirrored."""
    if source in _UPRIGHT:
        return "shift-1"
    return "crop-4-flip" if size is None or size >= 24 else "flip"
