"""What is known of an exported student, as plain values: the content of card.json."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tutelage.config.schema import ClaimConfig
from tutelage.data.world import World
from tutelage.exporting.formats import INPUT, OUTPUT
from tutelage.exporting.parity import INT8_MARGIN, TOLERANCE
from tutelage.findings.claim import resolve
from tutelage.findings.judge import judge
from tutelage.findings.multiplicity import alone
from tutelage.provenance import machine, versions
from tutelage.study.context import Context
from tutelage.study.plan import Node, world_seeds

SCHEMA = 1
_MARGIN = 0.5  # points; of a comparison with scratch that the study itself does not make
_FIGURES = ("error", "balanced_error", "top5", "nll", "ece", "brier")
_MIMICRY = ("kl", "kl_shape_t4", "agreement")
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What was measured of the files: by name their format, bytes, digest and check; the latency
    of each; the number of training images of which int8 learned its ranges."""

    files: dict[str, dict[str, Any]]
    latency: list[dict[str, Any]]
    calibrated_on: int


def card_facts(
    context: Context,
    node: Node,
    document: Row,
    world: World,
    weights: str,
    evidence: Evidence,
    *,
    chosen: bool,
) -> dict[str, Any]:
    """All facts of the card of a run, whose row is in the results `document`."""
    row = next(run for run in document["runs"] if run["key"] == node.key)
    height, width, channels = world.shape
    training, config = node.training, context.config.data
    recipe = asdict(training.recipe)
    recipe["optimizer"] = {
        type(training.recipe.optimizer).__name__.lower(): training.recipe.optimizer.model_dump()
    }
    recipe["schedule"] = training.recipe.schedule.model_dump(exclude_none=True)
    card: dict[str, Any] = {
        "schema": SCHEMA,
        "made_by": "tutelage",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "study": {
            "name": context.config.name, "id": context.id, "question": context.config.question,
            "created": context.manifest["created"],
        },
        "model": {
            "name": training.model, "role": node.role, "parameters": row["parameters"],
            "macs": row["macs"], "weights_sha256": weights,
        },
        "input": {
            "name": INPUT, "type": "float32", "shape": ["batch", channels, height, width],
            "values": "pixels / 255: 0 to 1", "size": [height, width], "channels": channels,
            "fit": config.fit, "mean": world.mean.tolist(), "std": world.std.tolist(),
        },
        "output": {
            "name": OUTPUT, "type": "float32", "shape": ["batch", world.classes],
            "class_names": list(world.class_names),
        },
        "data": {
            "source": config.source,
            # Enough to find the same test set again, wherever the images are by then.
            "config": config.model_dump(mode="json", exclude_none=True, exclude={"path"}),
            "seeds": list(world_seeds(context.config, node.replicate)),
            "images": {
                "train": len(world.train), "validation": len(world.validation),
                "test": len(world.test),
            },
            "fingerprint": world.fingerprint,
        },
        "training": {
            "run": row["id"], "key": node.key, "condition": training.name,
            "replicate": node.replicate, "seed": node.seed,
            "init_seed": node.start.init_seed, "stream_seed": node.start.stream_seed,
            "device": context.manifest["device"], "views": config.views_text,
            "recipe": recipe, "loss": training.loss_text, "taught_epochs": row["taught_epochs"],
        },
        "teacher": _teacher(context, node, document),
        "figures": {
            split: {name: row[f"{split}_{name}"] for name in _FIGURES if f"{split}_{name}" in row}
            for split in ("val", "test")
        },
        "mimicry": {key: row[key] for split in ("train", "test") for name in _MIMICRY
                    if (key := f"{split}_{name}") in row},
        "chosen": _chosen(document) if chosen else None,
        "against_scratch": _against_scratch(document, node),
        "files": evidence.files,
        "checks": {
            "tolerance": TOLERANCE, "int8_margin": INT8_MARGIN,
            "calibrated_on": evidence.calibrated_on,
        },
        "latency": {
            "unit": "ms", "threads": 1, "machine": machine(), "entries": evidence.latency,
        },
        "versions": versions() | _installed(),
    }  # fmt: skip
    return card | {"limits": _limits(card)}


def _teacher(context: Context, node: Node, document: Row) -> dict[str, Any] | None:
    """Who taught the run: what it is, and its own test error in the run's replicate."""
    name = node.training.teacher
    if name is None:
        return None
    found = next(row for row in document["teachers"] if row["name"] == name)
    own = next((r for r in found["replicates"] if r["replicate"] == node.replicate), {})
    kept = ("name", "model", "parameters", "macs", "stop", "scaled", "taught_by")
    return {key: found[key] for key in kept} | {"test_error": own.get("test_error")}


def _chosen(document: Row) -> dict[str, Any]:
    """Among what the study's best was chosen."""
    students = [run for run in document["runs"] if run["role"] == "student"]
    done = [run for run in students if run["val_error"] is not None]
    return {
        "by": "validation error", "runs": len(done), "planned_runs": len(students),
        "conditions": len({run["condition"] for run in done}),
    }  # fmt: skip


def _against_scratch(document: Row, node: Node) -> str | None:
    """The study's finding on the run's condition and its control without a teacher, in words.

    That of the claim that compares just these, if there is one; otherwise what the rows say, with
    an interval and no verdict, because the comparison was chosen after the results were seen.
    """
    training = node.training
    if training.teacher is None or node.role != "student":
        return None
    control = next(
        (
            row["name"] for row in document["conditions"]
            if row["teacher"] is None and row["student"] == training.model
            and row["epochs"] == training.recipe.epochs
        ),
        None,
    )  # fmt: skip
    if control is None:
        return None
    claims = document["study"]["config"].get("claims", {})
    for rank in claims.values():
        for name, claim in rank.items():
            same = set(claim.get("difference") or ()) == {training.name, control}
            if same and claim.get("metric", "test_error") == "test_error":
                return next(f["sentence"] for f in document["findings"] if f["claim"] == name)
    claim = ClaimConfig(difference=[training.name, control], direction="less", margin=_MARGIN)
    terms = replace(alone(resolve(document, claim).error), decides=False)
    return judge(document, claim, terms=terms).sentence


def _limits(card: dict[str, Any]) -> list[str]:
    """What the figures do not say, in sentences."""
    images, chosen = card["data"]["images"], card["chosen"]
    limits = [
        f"The test error is that of {images['test']} images of the same source as the training "
        "images. On images from elsewhere it is unknown: measure it with `tutelage evaluate`.",
        "Images of none of the classes are given one of them all the same.",
    ]
    if chosen:
        limits.insert(
            0,
            f"Chosen among {chosen['runs']} runs of {chosen['conditions']} conditions by validation"
            " error: its validation error flatters it, its test error does not, being never used "
            "to choose.",
        )
        if chosen["runs"] < chosen["planned_runs"]:
            limits.insert(1, f"{chosen['planned_runs'] - chosen['runs']} planned runs of the study "
                          "were not finished then.")  # fmt: skip
    else:
        limits.insert(0, "This run was named by hand, not chosen as the study's best.")
    noise = card["data"]["config"].get("label_noise", 0.0)
    if noise:
        limits.append(f"{100 * noise:g} % of the training and validation labels were made wrong on "
                      "purpose; those of the test images are right.")  # fmt: skip
    limits.append("The latency is that of one machine; on yours it will differ.")
    return limits


def _installed() -> dict[str, str]:
    """Versions of the packages that write and run ONNX, where they are installed."""
    import importlib.metadata

    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
