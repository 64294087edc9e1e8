"""How a run hears its teacher: from a table, from files for each epoch, or live."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tutelage.config.design import StateRef
from tutelage.data.views import Views, parse_views
from tutelage.study.context import Context
from tutelage.study.plan import Node
from tutelage.teachers.bank import How, cheapest


@dataclass(frozen=True)
class Hearing:
    """How a run hears its teacher, and how often the teacher sees the training images for all the
    `listeners` of the replicate that hear it likewise, together."""

    how: How
    passes: int
    listeners: int


class Hearings:
    """How the runs of a study hear the networks that teach them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        # Who hears a state likewise, and in how many epochs.
        self._alike: dict[tuple[object, ...], list[tuple[Node, int]]] = defaultdict(list)
        for node in context.plan.nodes.values():
            for state, epochs in self.heard(node).items():
                self._alike[self._key(node, state)].append((node, epochs))

    def heard(self, node: Node) -> dict[StateRef, int]:
        """The states that a run hears, each with the number of epochs in which it does."""
        if node.training.teacher is None:
            return {}
        teacher = self._context.expanded.teachers[node.training.teacher]
        return node.training.heard_in(teacher.reference)

    def of(self, node: Node, state: StateRef) -> Hearing:
        """How the run of `node` hears one of the states that teach it."""
        views, data = parse_views(node.start.views), self._context.manifest["data"]
        mixes = node.start.mixup or node.start.cutmix
        # A table holds the views of single images: neither mixtures nor views without number.
        count = views.count if isinstance(views, Views) and not mixes else None
        alike = self._alike[self._key(node, state)]
        seeds = len({other.start.stream_seed for other, _ in alike})
        epochs = max(own for _, own in alike)
        beside = sum(other.start.stream_seed == node.start.stream_seed for other, _ in alike)
        seen, without = self._context.trained_count(node.training)
        shown = epochs * seen // (seen + without)  # epochs, if each showed all images
        how = cheapest(count, seen + without, data["classes"], epochs=shown, seeds=seeds,
                       listeners=beside)  # fmt: skip
        if node.training.features:  # which are too many to keep
            how = "live"
        passes = {"table": count or 0, "epochs": epochs * seeds, "live": epochs * len(alike)}
        return Hearing(how, passes[how], len(alike))

    def _key(self, node: Node, state: StateRef) -> tuple[object, ...]:
        """Equal for runs that hear the same logits, if perhaps scaled and in another order."""
        start, training = node.start, node.training
        stream = start.views, start.batch_size, start.mixup, start.cutmix, start.teacher_precision
        images = training.part, training.images, training.unlabelled
        return node.replicate, *images, not training.features, state, *stream
