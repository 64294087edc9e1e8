"""What a task is expected to cost. Rough: constants of one core, not yet measured per machine."""

from __future__ import annotations

from tutelage.study.context import Context
from tutelage.study.plan import COMPARE, Node

_STEP_SECONDS = 1.7e-3  # of a step of any network, whatever its size
_MACS_PER_SECOND = 25e9  # multiply-adds in fp32 convolutions
_COMPARE_SECONDS = 2e-3  # of one student with one reference


def predict(context: Context) -> dict[str, float]:
    """Expected core-seconds of every task of the plan, shared epochs counted once."""
    seconds = {key: _node_seconds(context, node) for key, node in context.plan.nodes.items()}
    students = sum(node.role == "student" for node in context.plan.nodes.values())
    pairs = students * len(context.expanded.teachers) / context.plan.replicates
    for replicate in range(context.plan.replicates):
        seconds[f"r{replicate}/{COMPARE}"] = 0.1 + pairs * _COMPARE_SECONDS
    return seconds


def _node_seconds(context: Context, node: Node) -> float:
    data, costs = context.manifest["data"], context.manifest["costs"]
    epochs = node.training.recipe.epochs - node.shared
    steps = epochs * (data["train"] // node.start.batch_size)
    # Forward and backward are three times the multiply-adds of a forward pass.
    work = 3 * costs[node.training.model]["macs"] * steps * node.start.batch_size
    if node.training.teacher is not None:
        teacher = context.expanded.teachers[node.training.teacher]
        model = context.expanded.trainings[teacher.training].model
        # A table shared by the students of a replicate, at most one forward an epoch otherwise.
        passes = min(epochs, 10) / context.config.replicates.students
        work += costs[model]["macs"] * passes * data["train"]
    return 0.1 + steps * _STEP_SECONDS + work / _MACS_PER_SECOND
