"""What a task is expected to cost, from the pace that this machine was measured to have."""

from __future__ import annotations

from collections import Counter
from math import ceil

from tutelage.config.chain import FUSED_GROUP
from tutelage.study.context import Context
from tutelage.study.hearing import Hearings
from tutelage.study.pace import Pace, Paces
from tutelage.study.plan import COMPARE, Node

# What is not worth measuring; seconds of one core.
_RUN = 0.15  # of a run: its network, its records and weights
_COMPARE = 2e-3  # of one student with one reference
_BATCH_BYTES = 1.5e-9  # of a byte of a batch's pixels, for its views and normalising
_CONTENTION = 1.15  # how much longer everything takes with a worker on every core


def predict(context: Context) -> dict[str, float]:
    """Expected core-seconds of every task of the plan, shared epochs counted once.

    Networks whose pace is not known yet are timed, a second each.
    """
    paces, nodes = Paces(context.store), context.plan.nodes
    by_node = {key: paces.of(node.start, *_images(context)) for key, node in nodes.items()}
    by_training = {node.training.name: by_node[key] for key, node in nodes.items()
                   if node.role == "teacher"}  # fmt: skip
    sizes = Counter(context.plan.cohort(key).name for key in nodes)
    hearings = Hearings(context)
    seconds = {}
    for key, node in nodes.items():
        own = _seconds(context, node, by_node[key], sizes[context.plan.cohort(key).name])
        if node.training.teacher is not None:
            for state in hearings.heard(node):
                heard = hearings.of(node, state)
                image = by_training[state.training].image
                seen, without = context.trained_count(node.training)
                images = seen + without if heard.how == "table" else seen
                own += image * images * heard.passes / heard.listeners
        seconds[key] = _CONTENTION * own
    students = sum(node.role == "student" for node in nodes.values())
    pairs = students * len(context.expanded.teachers) / context.plan.replicates
    for replicate in range(context.plan.replicates):
        seconds[f"r{replicate}/{COMPARE}"] = 0.1 + pairs * _COMPARE
    return seconds


def is_predictable(context: Context) -> bool:
    """Whether the paces of all networks are known, so that `predict` times none."""
    paces = Paces(context.store)
    return all(paces.knows(node.start, *_images(context)) for node in context.plan.nodes.values())


def _images(context: Context) -> tuple[tuple[int, int, int], int]:
    """The shape (H, W, C) and the number of classes of a study's images."""
    height, width, channels = context.manifest["data"]["shape"]
    return (height, width, channels), context.manifest["data"]["classes"]


def _seconds(context: Context, node: Node, pace: Pace, cohort: int) -> float:
    """What a run costs by itself, one of `cohort` that can be trained together."""
    data, start = context.manifest["data"], node.start
    epochs = node.training.recipe.epochs - node.shared
    steps = epochs * (context.trained_count(node.training)[0] // start.batch_size)
    step = pace.step
    if start.stepper == "fused":  # a step of a group that is not full costs the same
        step *= ceil(cohort / FUSED_GROUP) / cohort
    height, width, channels = data["shape"]
    step += start.batch_size * height * width * channels * _BATCH_BYTES
    evaluated = epochs * data["validation"] + data["train"] + data["validation"] + data["test"]
    return _RUN + steps * step + evaluated * pace.image
