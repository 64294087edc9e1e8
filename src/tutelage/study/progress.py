"""What of a study is in the store already, and what is still missing."""

from __future__ import annotations

from collections.abc import Collection

from tutelage.config.chain import Trajectory
from tutelage.store import Record, Store
from tutelage.study.context import Context, Diverged
from tutelage.study.plan import COMPARE, Node


def is_trained(store: Store, trajectory: Trajectory, keep: Collection[int]) -> bool:
    """Whether the run and the state at every epoch in `keep` are stored, weights included."""
    run = store.get("run", trajectory.id)
    return run is not None and _is_whole(store, run, trajectory, keep)


def _is_whole(store: Store, run: Record, trajectory: Trajectory, keep: Collection[int]) -> bool:
    """Whether all weights that a run should have left are there; a diverged one leaves none."""
    if run.result["status"] == "diverged":
        return True
    states = [store.get("state", trajectory.state_ids[epoch]) for epoch in keep]
    weights = [run.result["blobs"]["final"], run.result["blobs"]["best"]]
    weights += [state.result["blobs"]["weights"] for state in states if state is not None]
    return all(states) and all(store.has_arrays(digest) for digest in weights)


def is_done(context: Context, node: Node) -> bool:
    """Whether nothing is left to do for a node: trained and evaluated, or diverged."""
    try:
        trajectory, run = context.trajectory(node), context.run(node)
    except Diverged:
        return True
    if trajectory is None or run is None:
        return False
    if not _is_whole(context.store, run, trajectory, node.keep):
        return False
    if run.result["status"] == "diverged":
        return True
    weights = run.result["blobs"]["final"]
    record = context.evaluation(node.start.model, weights, node.replicate)
    blobs = record.result["blobs"].values() if record else ()
    return record is not None and all(context.store.has_arrays(digest) for digest in blobs)


def is_compared(context: Context, replicate: int) -> bool:
    """Whether every student of a replicate was compared with every reference of the study."""
    references = []
    for teacher in context.expanded.teachers.values():
        try:
            references.append(context.resolve(teacher.reference, replicate))
        except Diverged:
            continue
    for node in context.plan.nodes.values():
        if node.replicate != replicate or node.role != "student":
            continue
        try:
            run = context.run(node)
        except Diverged:
            continue
        if run is None or None in references:
            return False
        if run.result["status"] == "diverged":
            continue
        model, weights = node.start.model, run.result["blobs"]["final"]
        for reference in references:
            assert reference is not None
            key = context.mimicry_id(model, weights, reference, replicate)
            if not context.store.has("mimicry", key):
                return False
    return True


def missing_tasks(context: Context) -> dict[str, tuple[str, ...]]:
    """The tasks that are not done, each with those of its needs that are not done either."""
    done = {key for key, node in context.plan.nodes.items() if is_done(context, node)}
    tasks = {key: needs for key, needs in context.plan.tasks().items() if key not in done}
    for replicate in range(context.plan.replicates):
        key = f"r{replicate}/{COMPARE}"
        if not any(need not in done for need in tasks[key]) and is_compared(context, replicate):
            del tasks[key]
    return {key: tuple(n for n in needs if n not in done) for key, needs in tasks.items()}


def drop_branches(context: Context) -> None:
    """Removes the checkpoints that runs left for others, once no run of the study needs them."""
    for node in context.plan.nodes.values():
        if not node.branches:
            continue
        try:
            trajectory = context.trajectory(node)
        except Diverged:
            continue
        if trajectory is None:
            continue
        for epoch in node.branches:
            context.store.drop_checkpoint(trajectory.state_ids[epoch])
