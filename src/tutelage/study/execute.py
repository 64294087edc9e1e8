"""Executing tasks of a plan: trainings with their evaluation, or a replicate's comparisons."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from tutelage.config.design import Reference, ScaledRef, children_of
from tutelage.data.parts import parts_of
from tutelage.data.world import World, measured_places
from tutelage.errors import StorageError, UserError
from tutelage.evaluation.metrics import class_errors, metrics
from tutelage.evaluation.mimicry import mimicry
from tutelage.models.adapted import follow
from tutelage.models.build import build_model
from tutelage.models.predict import logits_of
from tutelage.provenance import provenance
from tutelage.store import Record
from tutelage.study.context import Context, Diverged
from tutelage.study.plan import COMPARE, Node
from tutelage.study.progress import is_trained
from tutelage.study.references import Mean, Network, Parts, Resolved, Scaled, Stages, stages_of
from tutelage.study.signals import Listener
from tutelage.teachers.scaling import calibrated_factor, entropy_matched_factor
from tutelage.training.loop import Stopped, never, train
from tutelage.training.run import CHECKPOINT_SECONDS, Run
from tutelage.training.stepper import Signal
from tutelage.training.trainee import load_weights

T = TypeVar("T")
Logits = dict[str, np.ndarray]

DONE, BUSY, DIVERGED, STALLED, FAILED = "done", "busy", "diverged", "stalled", "failed"


class Lost(Exception):
    """What a task rests on was there when the task was chosen, and is missing or damaged now."""


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    `done`, `diverged`; `busy`, when another process is training this very run; `stalled`, when
    something has to be computed again first; `failed`. `message` says why, and `trace` where, of
    an error that does not explain itself.
    """

    status: str
    message: str = ""
    trace: str = ""


def execute(
    context: Context,
    keys: Sequence[str],
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    stop: Callable[[], bool] = never,
    report: Callable[[str, Outcome], None] = lambda key, outcome: None,
) -> None:
    """Execute the tasks `keys`; what is in the store already is not computed again.

    Several are trainings that are alike (see `Plan.cohort`), and are trained side by side. `report`
    is told how each task ended, as soon as it did. Raises Stopped when `stop` answered yes, and
    StorageError where the store cannot be read or written.
    """
    if keys[0].endswith(f"/{COMPARE}"):
        replicate = int(keys[0].partition("/")[0][1:])
        report(keys[0], _told(lambda: _compare(context, replicate)))
        return
    runs: dict[str, Run] = {}
    finished: set[str] = set()
    with ExitStack() as leases:
        for key in keys:
            begun = _told(partial(_begin, context, context.node(key), leases, checkpoint_seconds))
            if isinstance(begun, Run):
                runs[key] = begun
            else:
                report(key, begun)

        def end(number: int, _: Record) -> None:
            key = list(runs)[number]
            finished.add(key)
            report(key, _told(partial(_evaluate, context, context.node(key))))

        outcome = _told(lambda: train(list(runs.values()), stop=stop, finished=end))
    for key in [key for key in runs if key not in finished]:
        if len(runs) == 1:
            report(key, outcome)
        else:  # one of them failed, and only that one shall
            execute(context, [key], checkpoint_seconds, stop, report)


def _told(do: Callable[[], T | None]) -> T | Outcome:
    """What `do` returns, DONE for nothing; or in which way it failed."""
    try:
        found = do()
    except (Stopped, StorageError):
        raise
    except Diverged:
        return Outcome(DIVERGED)
    except Lost as loss:
        return Outcome(STALLED, str(loss))
    except UserError as error:
        return Outcome(FAILED, str(error))
    except Exception as error:  # one task's failure is not the study's
        return Outcome(FAILED, f"{type(error).__name__}: {error}", traceback.format_exc())
    return Outcome(DONE) if found is None else found


def _begin(
    context: Context, node: Node, leases: ExitStack, checkpoint_seconds: float
) -> Run | Outcome:
    """The run of a node, to be trained while its lease is held; an outcome if it need not be."""
    reference = teacher = None
    if node.training.teacher is not None:
        reference = context.expanded.teachers[node.training.teacher].reference
        teacher = ensure_reference(context, reference, node.replicate)
    turns = [turn.identity for turn in stages_of(teacher)] if teacher else []
    trajectory, store = node.trajectory(*turns), context.store
    if is_trained(store, trajectory, node.keep):
        return _evaluate(context, node)
    if not leases.enter_context(store.lease(trajectory.id)):
        return Outcome(BUSY)
    if is_trained(store, trajectory, node.keep):  # by somebody else, just now
        return _evaluate(context, node)
    world = context.training_world(node)
    signals = dict[str, Signal]()
    if reference is not None and teacher is not None:
        signals = _signals(context, reference, teacher, node, world)
    return Run(
        store, trajectory, world, signals, keep=node.keep, branches=node.branches,
        checkpoint_seconds=checkpoint_seconds,
    )  # fmt: skip


def _evaluate(context: Context, node: Node) -> Outcome:
    """Evaluates a run that was trained."""
    run = context.run(node)
    if run is None:
        raise Lost(f"the record of the run {node.key} is missing or damaged")
    if run.result["status"] == "diverged":
        return Outcome(DIVERGED)
    _ensure_evaluation(context, node.start.model, run.result["blobs"]["final"], node.replicate)
    return Outcome(DONE)


def _load(context: Context, model: str, weights: str, world: World) -> torch.nn.Module:
    arrays = context.store.get_arrays(weights)
    if arrays is None:
        raise Lost(f"the weights {weights[:12]} of a {model} are missing or damaged")
    network = build_model(model, world.shape, world.classes, seed=0)
    load_weights(network, arrays)
    follow(network, world.mean, world.std)
    return network


def _signals(
    context: Context, reference: Reference, resolved: Resolved, node: Node, world: World
) -> dict[str, Signal]:
    """What a run hears of its teacher, by identity."""

    def load(network: Network) -> torch.nn.Module:
        return _load(context, network.model, network.weights, world)

    return Listener(context, node, world, load).signals(reference, resolved)


def ensure_reference(context: Context, reference: Reference, replicate: int) -> Resolved:
    """What a reference is, its factor fitted if need be; the trainings under it must be done."""
    for part in children_of(reference):
        ensure_reference(context, part, replicate)
    if isinstance(reference, ScaledRef):
        _ensure_scale(context, reference, replicate)
    resolved = context.resolve(reference, replicate)
    if resolved is None:
        raise Lost("the record of a teacher is missing or damaged")
    return resolved


def _ensure_scale(context: Context, reference: ScaledRef, replicate: int) -> None:
    base = ensure_reference(context, reference.of, replicate)
    target = reference.entropy_of and ensure_reference(context, reference.entropy_of, replicate)
    key = context.scale_id(reference, replicate)
    assert key is not None, "its parts were just ensured"
    if context.store.get("scale", key) is not None:
        return
    logits = reference_logits(context, base, replicate)
    if target:
        goal = reference_logits(context, target, replicate)["train"]
        factor = entropy_matched_factor(logits["train"], goal, reference.temperature)
    else:
        labels = context.world(replicate).validation.labels
        factor = calibrated_factor(logits["val"], labels)
    scaled = {name: values * factor for name, values in logits.items()}
    result = {"factor": factor, "metrics": _split_metrics(scaled, context.world(replicate))}
    context.store.put(Record("scale", key, result, provenance(), {}))


def reference_logits(context: Context, reference: Resolved, replicate: int) -> Logits:
    """The logits [N, classes] of a reference on train, val and test; of several that are heard in
    turn, those of the last."""
    match reference:
        case Network(model, weights):
            return _ensure_evaluation(context, model, weights, replicate)
        case Scaled(of, factor):
            logits = reference_logits(context, of, replicate)
            return {split: values * factor for split, values in logits.items()}
        case Stages(stages):
            return reference_logits(context, stages[-1], replicate)
        case Mean(members):
            return _mean([reference_logits(context, each, replicate) for each in members])
        case Parts(members):
            each = [reference_logits(context, member, replicate) for member in members]
            train = context.world(replicate).train
            part = parts_of(train.labels, len(members))[measured_places(train)]
            own = np.stack([logits["train"] for logits in each])[part, np.arange(len(part))]
            return _mean(each) | {"train": own}


def _mean(logits: Sequence[Logits]) -> Logits:
    return {split: np.mean([each[split] for each in logits], axis=0) for split in logits[0]}


def _ensure_figures(context: Context, reference: Resolved, replicate: int) -> Logits:
    """The logits of a reference, the figures of which are written where they are not known: those
    of a network and of a scaled reference have records of their own."""
    logits = reference_logits(context, reference, replicate)
    key = context.figures_id(reference, replicate)
    if not isinstance(reference, Network | Scaled) and context.store.get("reference", key) is None:
        result = {"metrics": _split_metrics(logits, context.world(replicate))}
        context.store.put(Record("reference", key, result, provenance(), {}))
    return logits


def _ensure_evaluation(context: Context, model: str, weights: str, replicate: int) -> Logits:
    """The logits of a state on every split; its evaluation record is written when missing."""
    record = context.evaluation(model, weights, replicate)
    if record is not None and context.store.is_whole(record.result["blobs"]["labels"]):
        kept = context.store.get_arrays(record.result["blobs"]["logits"])
        if kept is not None:
            return kept
    world, device = context.world(replicate), context.manifest["device"]
    network = _load(context, model, weights, world).to(device)
    logits = {
        name: logits_of(network, split, world.mean, world.std, device)
        for name, split in world.measured.items()
    }
    # The labels go along, so that whoever reads the logits later needs no data; one blob a world.
    labels = {name: split.labels for name, split in world.measured.items()}
    blobs = {
        "logits": context.store.put_arrays(logits),
        "labels": context.store.put_arrays(labels),
    }
    by_class = {name: class_errors(logits[name], labels[name]) for name in ("val", "test")}
    result = {
        "metrics": _split_metrics(logits, world),
        "class_errors": by_class,
        "blobs": blobs,
    }
    key = context.evaluation_id(model, weights, replicate)
    context.store.put(Record("evaluation", key, result, provenance(device), {}))
    return logits


def _split_metrics(logits: Logits, world: World) -> dict[str, dict[str, float]]:
    return {name: metrics(logits[name], split.labels) for name, split in world.measured.items()}


def _compare(context: Context, replicate: int) -> None:
    """Compares every student of a replicate with every teacher reference of the study."""
    teachers: dict[str, tuple[Resolved, Logits]] = {}
    for teacher in context.expanded.teachers.values():
        try:
            resolved = ensure_reference(context, teacher.reference, replicate)
        except Diverged:
            continue
        teachers[resolved.identity] = (resolved, _ensure_figures(context, resolved, replicate))
    for node in context.plan.nodes.values():
        if node.replicate == replicate and node.role == "student":
            _compare_one(context, node, teachers)


def _compare_one(
    context: Context, node: Node, teachers: dict[str, tuple[Resolved, Logits]]
) -> None:
    try:
        run = context.run(node)
    except Diverged:
        return
    if run is None or run.result["status"] == "diverged":
        return
    model, weights = node.start.model, run.result["blobs"]["final"]
    logits: Logits | None = None
    for resolved, goal in teachers.values():
        key = context.mimicry_id(model, weights, resolved, node.replicate)
        if context.store.get("mimicry", key) is not None:
            continue
        if logits is None:
            logits = _ensure_evaluation(context, model, weights, node.replicate)
        result = {split: mimicry(logits[split], goal[split]) for split in ("train", "test")}
        context.store.put(Record("mimicry", key, result, provenance(), {}))
