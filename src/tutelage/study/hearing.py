"""How a run hears its teacher: from a table, from files for each epoch, or live."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tutelage.config.design import Reference, ScaledRef, StateRef
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
    """How the runs of a study hear their teachers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._alike: dict[tuple[object, ...], list[Node]] = defaultdict(list)
        for node in context.plan.nodes.values():
            if node.training.teacher is not None:
                self._alike[self._key(node)].append(node)

    def of(self, node: Node) -> Hearing:
        """How the run of `node`, which has a teacher, hears it."""
        views, data = parse_views(node.start.views), self._context.manifest["data"]
        mixes = node.start.mixup or node.start.cutmix
        # A table holds the views of single images: neither mixtures nor views without number.
        count = views.count if isinstance(views, Views) and not mixes else None
        alike = self._alike[self._key(node)]
        seeds = len({other.start.stream_seed for other in alike})
        epochs = max(sum(step.distils for step in other.training.steps("")) for other in alike)
        beside = sum(other.start.stream_seed == node.start.stream_seed for other in alike)
        how = cheapest(count, data["train"], data["classes"], epochs=epochs, seeds=seeds,
                       listeners=beside)  # fmt: skip
        if node.training.features:  # which are too many to keep
            how = "live"
        passes = {"table": count or 0, "epochs": epochs * seeds, "live": epochs * len(alike)}
        return Hearing(how, passes[how], len(alike))

    def _key(self, node: Node) -> tuple[object, ...]:
        """Equal for runs that hear the same logits, if perhaps scaled and in another order."""
        start = node.start
        stream = start.views, start.batch_size, start.mixup, start.cutmix, start.teacher_precision
        teacher = self._context.expanded.teachers[node.training.teacher or ""]
        return node.replicate, not node.training.features, _state(teacher.reference), *stream


def _state(reference: Reference) -> StateRef:
    """The state whose logits a reference has, scaled or not."""
    while isinstance(reference, ScaledRef):
        reference = reference.of
    return reference
