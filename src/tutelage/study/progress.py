"""What of a study is in the store already, and what is still missing."""

from __future__ import annotations

from collections.abc import Collection

from tutelage.config.chain import Trajectory
from tutelage.store import Record, Store
from tutelage.study.context import Context, Diverged
from tutelage.study.plan import COMPARE, Node
from tutelage.study.references import Network, Resolved, Scaled, networks_in


def is_trained(store: Store, trajectory: Trajectory, keep: Collection[int]) -> bool:
    """Whether the run and the state at every epoch in `keep` are stored, with whole weights."""
    run = store.get("run", trajectory.id)
    weights = None if run is None else _weights(store, run, trajectory, keep)
    return weights is not None and all(store.is_whole(digest) for digest in weights)


def missing_tasks(context: Context, *, thorough: bool = False) -> dict[str, tuple[str, ...]]:
    """The tasks that are not done, each with those of its needs that are not done either.

    Arrays and comparisons need only be there. With `thorough` each is read: one that is damaged
    counts as missing, and a warning tells of it.
    """
    stock = _Stock(context, thorough)
    done = {key for key, node in context.plan.nodes.items() if stock.is_done(node)}
    tasks = {key: needs for key, needs in context.plan.tasks().items() if key not in done}
    for replicate in range(context.plan.replicates):
        key = f"r{replicate}/{COMPARE}"
        if all(need in done for need in tasks[key]) and stock.is_compared(replicate):
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


def _weights(
    store: Store, run: Record, trajectory: Trajectory, keep: Collection[int]
) -> list[str] | None:
    """The weights that a run left, none if it diverged; None when a state is not there."""
    if run.result["status"] == "diverged":
        return []
    kept = []
    for epoch in keep:
        state = store.get("state", trajectory.state_ids[epoch])
        if state is None:
            return None
        kept.append(state.result["blobs"]["weights"])
    return [run.result["blobs"]["final"], run.result["blobs"]["best"], *kept]


class _Stock:
    """What the store holds of a study; `thorough` as in `missing_tasks`."""

    def __init__(self, context: Context, thorough: bool) -> None:
        self.context, self.thorough = context, thorough
        self._whole: dict[str, bool] = {}

    def is_done(self, node: Node) -> bool:
        """Whether nothing is left to do for a node: trained and evaluated, or diverged."""
        try:
            trajectory, run = self.context.trajectory(node), self.context.run(node)
        except Diverged:
            return True
        if trajectory is None or run is None:
            return False
        weights = _weights(self.context.store, run, trajectory, node.keep)
        if self.thorough:  # nothing of this study needs it, but damage to it is told as well
            self.context.store.get("state", trajectory.state_ids[-1])
        if weights is None or not self._have(weights):
            return False
        if run.result["status"] == "diverged":
            return True
        final = run.result["blobs"]["final"]
        return self._is_evaluated(node.start.model, final, node.replicate)

    def is_compared(self, replicate: int) -> bool:
        """Whether all references of a replicate were evaluated, and all students compared to them.

        Its nodes must be done.
        """
        references: list[Resolved] = []
        for teacher in self.context.expanded.teachers.values():
            try:
                found = self.context.resolve(teacher.reference, replicate)
            except Diverged:
                continue
            if found is None:
                return False
            references.append(found)
        there = [self._has_figures(reference, replicate) for reference in references]
        for node in self.context.plan.nodes.values():
            if node.replicate == replicate and node.role == "student":
                there += [self._is_mimicry_there(node, teacher) for teacher in references]
        return all(there)

    def _has_figures(self, reference: Resolved, replicate: int) -> bool:
        """Whether the networks of a reference were evaluated, and it itself if it is several."""
        networks = list(networks_in(reference))
        there = [self._is_evaluated(each.model, each.weights, replicate) for each in networks]
        if not isinstance(reference, Network | Scaled):
            key, store = self.context.figures_id(reference, replicate), self.context.store
            there.append(store.get("reference", key) is not None)
        return all(there)

    def _is_mimicry_there(self, node: Node, teacher: Resolved) -> bool:
        try:
            run = self.context.run(node)
        except Diverged:
            return True
        if run is None:
            return False
        if run.result["status"] == "diverged":
            return True
        final = run.result["blobs"]["final"]
        key = self.context.mimicry_id(node.start.model, final, teacher, node.replicate)
        store = self.context.store
        return store.get("mimicry", key) is not None if self.thorough else store.has("mimicry", key)

    def _is_evaluated(self, model: str, weights: str, replicate: int) -> bool:
        record = self.context.evaluation(model, weights, replicate)
        return record is not None and self._have(record.result["blobs"].values())

    def _have(self, digests: Collection[str]) -> bool:
        """Whether all these arrays are there; all are looked at, so that all damage is told."""
        store = self.context.store
        if not self.thorough:
            return all(store.has_arrays(digest) for digest in digests)
        for digest in digests:
            if digest not in self._whole:
                self._whole[digest] = store.is_whole(digest, expected=True)
        return all(self._whole[digest] for digest in digests)
