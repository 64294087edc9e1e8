"""Exporting a run: files are written aside, checked and measured, and only then put in place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.data.world import Split, World
from tutelage.errors import UserError
from tutelage.exporting.card import Evidence, card_facts
from tutelage.exporting.card_text import card_text
from tutelage.exporting.formats import (
    FILES,
    Images,
    Runner,
    Subject,
    open_runner,
    torch_runner,
    wanted_formats,
    write_formats,
)
from tutelage.exporting.latency import measure
from tutelage.exporting.network import Deployed, stored_network
from tutelage.exporting.opened import CARD, CARD_TEXT, Opened
from tutelage.exporting.parity import Check, check_exact, compare, pixels_of, run_on
from tutelage.exporting.subject import check_finished
from tutelage.models.predict import EVALUATED, logits_of, padded_forward
from tutelage.store import atomic_write
from tutelage.store.files import make_folder, told
from tutelage.study.context import Context
from tutelage.study.plan import Node, world_seeds
from tutelage.study.references import networks_in, stages_of

_CALIBRATED_ON = 512  # training images


@dataclass(frozen=True)
class Export:
    """What was written: the folder, its files, and the facts of the card."""

    folder: Path
    files: tuple[Path, ...]
    card: dict[str, Any]


def export_run(
    context: Context,
    node: Node,
    document: Mapping[str, Any],
    folder: Path,
    *,
    formats: Sequence[str] | None = None,
    data: str | None = None,
    chosen: bool = False,
) -> Export:
    """Export the run `node` of a study into `folder`, whose results are `document`.

    `formats` are names of `FILES`, all of them without any. `data` is where the study's images are
    now, if not where they were. `chosen` says that the run was taken as the study's best.

    Raises UserError for a run that is not finished, data that are gone or have changed, a missing
    package, a network that cannot be exported, and a file that computes something else than the
    original; nothing is written then.
    """
    names = wanted_formats(formats)
    check_finished(context, node)
    if folder.exists() and not folder.is_dir():
        raise UserError("this is a file; an export is a folder.", where=str(folder),
                        fix="Name another one: -o FOLDER.")  # fmt: skip
    world = study_world(context, node.replicate, data)
    student, weights = load_run(context, node, world)
    subject = Subject(
        student, node.start.model, world.shape, world.class_names, _calibration(world.train)
    )
    original = logits_of(student.network, world.test, world.mean, world.std)
    # On the same file system, and where a folder that exists is all that may be written in.
    beside = folder if folder.is_dir() else make_folder(folder.parent)
    draft = beside / f".export.{os.getpid()}.tmp"
    with told(draft, "written"):
        draft.mkdir()
        try:
            paths = write_formats(subject, names, draft)
            runners = {name: open_runner(path) for name, path in paths.items()}
            checks = _checks(runners, world.test, original)
            image = pixels_of(world.test, slice(0, 1))[0]
            latency = measure(_timed(context, node, world, student, runners), image)
            evidence = Evidence(
                files={
                    FILES[name]: {
                        "format": name,
                        "bytes": path.stat().st_size,
                        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                        "check": checks[name].to_dict(),
                    }
                    for name, path in paths.items()
                },
                latency=latency,
                calibrated_on=len(subject.calibration),
            )
            card = card_facts(context, node, document, world, weights, evidence, chosen=chosen)
            make_folder(folder)
            _clear(folder)
            written = [folder / path.name for path in paths.values()]
            for path, target in zip(paths.values(), written, strict=True):
                os.replace(path, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    # Last, because it vouches for the files by their digests.
    atomic_write(folder / CARD, json.dumps(card, indent=1, ensure_ascii=False).encode() + b"\n")
    atomic_write(folder / CARD_TEXT, card_text(card).encode())
    return Export(folder, (*written, folder / CARD, folder / CARD_TEXT), card)


def _clear(folder: Path) -> None:
    """Removes an earlier export: a new card would not vouch for what is left of it."""
    for name in (CARD, CARD_TEXT, *FILES.values()) if (folder / CARD).is_file() else ():
        (folder / name).unlink(missing_ok=True)


def open_run(context: Context, node: Node, data: str | None = None) -> Opened:
    """A finished run of the store, ready to run, its logits computed as its evaluation's were.

    It is normalised by the training images, which are read from where the study found them, or
    else from `data`. Raises UserError as `export_run` does.
    """
    check_finished(context, node)
    try:
        world = study_world(context, node.replicate)
    except UserError as gone:
        if data is None:
            raise
        try:
            world = study_world(context, node.replicate, data)
        except UserError:
            raise UserError(
                gone.what, where=gone.where,
                fix="They are needed for the normalisation. An exported student has it inside: "
                "evaluate that.",
            ) from gone  # fmt: skip
    student, _ = load_run(context, node, world)
    config = context.config.data

    def run(images: Images) -> NDArray[np.float32]:
        with torch.inference_mode():
            return padded_forward(student, torch.from_numpy(images), EVALUATED).numpy()

    return Opened(
        name=f"{node.training.model} of {context.config.name}, run {node.key}",
        shape=world.shape,
        fit=config.fit,
        class_names=world.class_names,
        data=config.model_dump(mode="json", exclude_none=True, exclude={"path"}),
        seeds=world_seeds(context.config, node.replicate),
        fingerprint=world.fingerprint,
        run=run,
        path=config.path,
    )


def study_world(context: Context, replicate: int, data: str | None = None) -> World:
    """The images of a replicate, from where the study found them, or from `data`.

    Raises UserError where they are gone or are others.
    """
    if data is not None:
        config = context.manifest["config"]
        moved = config | {"data": config["data"] | {"path": data}}
        context = Context(context.store, dict(context.manifest) | {"config": moved})
    try:
        return context.world(replicate)
    except UserError as error:
        raise UserError(
            f"the images of {context.config.name} cannot be read again: {error.what}",
            where=error.where, fix="Say where they are now: --data PATH.",
        ) from error  # fmt: skip


def load_run(context: Context, node: Node, world: World) -> tuple[Deployed, str]:
    """The network of a finished run with its normalisation, and the digest of its weights."""
    run = context.run(node)
    assert run is not None, "the caller has looked"
    weights = run.result["blobs"]["final"]
    network = stored_network(context.store, node.start.model, weights, world)
    return Deployed(network, world.mean, world.std).eval(), weights


def _calibration(train: Split) -> Images:
    """Training images, evenly spread over the split."""
    count = min(len(train), _CALIBRATED_ON)
    chosen: NDArray[np.intp] = np.linspace(0, len(train) - 1, count).round().astype(np.intp)
    return pixels_of(train, chosen)


def _checks(
    runners: Mapping[str, Runner], test: Split, original: NDArray[np.float32]
) -> dict[str, Check]:
    checks = {}
    for name, run in runners.items():
        checks[name] = compare(run_on(run, test), original, test.labels)
        if name != "onnx-int8":
            check_exact(FILES[name], checks[name])
    return checks


def _timed(
    context: Context, node: Node, world: World, student: Deployed, runners: Mapping[str, Runner]
) -> dict[str, Runner]:
    """Everything whose latency the card tells: teacher, student in PyTorch, and exports."""
    timed = dict[str, Runner]()
    with suppress(UserError):  # its weights may be gone, and are not what is exported
        teacher = _teacher(context, node, world)
        if teacher:
            timed["teacher (PyTorch)"] = _together(teacher)
    timed["student (PyTorch)"] = torch_runner(student)
    # Weights alone are run as the student above.
    return timed | {FILES[name]: run for name, run in runners.items() if name != "safetensors"}


def _teacher(context: Context, node: Node, world: World) -> list[Deployed]:
    """The networks that a run's teacher, or the last of its teachers, asks for every image."""
    if node.training.teacher is None:
        return []
    reference = context.expanded.teachers[node.training.teacher].reference
    resolved = context.resolve(reference, node.replicate)
    if resolved is None:
        return []
    asked = dict.fromkeys(networks_in(stages_of(resolved)[-1]))
    return [
        Deployed(
            stored_network(context.store, each.model, each.weights, world), world.mean, world.std
        ).eval()
        for each in asked
    ]


def _together(networks: Sequence[Deployed]) -> Runner:
    runners = [torch_runner(network) for network in networks]

    def run(images: Images) -> NDArray[np.float32]:
        return np.mean([each(images) for each in runners], axis=0)

    return run
