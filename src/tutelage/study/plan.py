"""The plan: every training of a study as a node, what it needs first, and what runs share.

Runs that share a prefix train it once: the later one waits for the earlier and continues from the
checkpoint at the epoch where they part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from tutelage.config.canonical import canonical, derive_seed, digest
from tutelage.config.chain import FUSED_GROUP, Start, Trajectory
from tutelage.config.design import Expanded, Training, stages_of, states_in
from tutelage.config.schema import Sgd, StudyConfig
from tutelage.data.parts import trained_mark
from tutelage.models.catalog import canonical_model, described, is_tiny
from tutelage.study.engines.events import Cohort

COMPARE = "compare"


@dataclass(frozen=True)
class Node:
    """One training of the plan: a condition, a replicate and a triple of seeds.

    `keep` are epochs whose weights some teacher reference rests on; at `branches` other nodes part
    from this one; `needs` are the keys of nodes that come first. `continues` is the node whose
    first `shared` epochs this one takes over.
    """

    key: str
    replicate: int
    role: str
    training: Training
    seed: int
    start: Start
    keep: frozenset[int] = frozenset()
    branches: frozenset[int] = frozenset()
    needs: tuple[str, ...] = ()
    continues: str | None = None
    shared: int = 0

    @property
    def model(self) -> str:
        """The network for readers: a built-in one by its canonical name, others as the study has
        them."""
        bare = described(self.training.model).library is None
        return canonical_model(self.training.model) if bare else self.training.model

    def trajectory(self, *teachers: str | None) -> Trajectory:
        """The chain of this training, given the identities of what it is taught by, in turn."""
        return Trajectory(self.start, self.training.steps(*teachers))


@dataclass(frozen=True)
class Plan:
    """All nodes by key, in an order in which each comes after what it needs."""

    nodes: dict[str, Node]
    replicates: int

    def tasks(self) -> dict[str, tuple[str, ...]]:
        """What is executed: each node, and for each replicate the comparisons after its nodes."""
        tasks = {key: node.needs for key, node in self.nodes.items()}
        for replicate in range(self.replicates):
            ours = tuple(k for k, node in self.nodes.items() if node.replicate == replicate)
            tasks[f"r{replicate}/{COMPARE}"] = ours
        return tasks

    def cohort(self, key: str) -> Cohort:
        """The cohort that a task belongs to; its length are the epochs that it trains itself.

        A cohort are trainings that are executed side by side, in one fused network or as graphs:
        alike in all that `Start` says but data, views and seeds, and in the share of the images
        that cross-fitting leaves out, because it is batch by batch that they go side by side.
        """
        node = self.nodes.get(key)
        if node is None or node.start.stepper == "eager":
            return Cohort(key)
        own = {"data": "", "views": "", "init_seed": 0, "stream_seed": 0}
        parts = node.training.part[1] if node.training.part is not None else None
        images = [node.training.images, node.training.unlabelled]
        seen = [images] if any(images) else []
        name = canonical([replace(node.start, **own).form(), parts, *seen])
        return Cohort(name, FUSED_GROUP, node.training.recipe.epochs - node.shared)

    @property
    def epochs(self) -> int:
        """Epochs of all runs, each as if trained alone."""
        return sum(node.training.recipe.epochs for node in self.nodes.values())

    @property
    def shared_epochs(self) -> int:
        """Epochs that need no training because another run of the plan trains them."""
        return sum(node.shared for node in self.nodes.values())


def teacher_key(replicate: int, training: str) -> str:
    """The key of the node that trains a teacher."""
    return f"r{replicate}/teacher/{training}"


def student_key(replicate: int, condition: str, seed: int) -> str:
    """The key of the node that trains a student."""
    return f"r{replicate}/{condition}/s{seed}"


def make_plan(
    study: StudyConfig, expanded: Expanded, fingerprints: Sequence[str], device: str,
    models: Mapping[str, str] | None = None, unlabelled: Sequence[str] = (),
) -> Plan:  # fmt: skip
    """The plan of a study whose replicates have the given data fingerprints; `models` are the
    texts that identify networks, by those that the study has for them, where both differ, and
    `unlabelled` the fingerprints of extra images without labels, where there are some."""
    nodes: dict[str, Node] = {}
    for replicate in range(study.replicates.count):
        data = fingerprints[replicate], unlabelled[replicate] if unlabelled else None
        ours = [
            *_teachers(study, expanded, replicate, data, device),
            *_students(study, expanded, replicate, data, device),
        ]
        ours = [_with_model(node, models or {}) for node in ours]
        nodes |= _share({node.key: node for node in _ordered(ours)}, expanded)
    return Plan(nodes, study.replicates.count)


def world_seeds(study: StudyConfig, replicate: int) -> tuple[int, int]:
    """The seeds of a replicate's split and noise; what does not vary keeps replicate 0's."""
    return _seed(study, "split", replicate), _seed(study, "noise", replicate)


def _seed(study: StudyConfig, what: str, replicate: int, *more: str | int) -> int:
    varies = what in study.replicates.vary or what == "student"
    return derive_seed(study.seed, what, replicate if varies else 0, *more)


_Marks = tuple[str, str | None]  # of the training images, and of those without labels


def _start(
    study: StudyConfig, training: Training, data: _Marks, device: str, init_seed: int,
    stream_seed: int,
) -> Start:  # fmt: skip
    recipe = training.recipe
    mark = trained_mark(data[0], training.images, training.unlabelled, data[1])
    return Start(
        data=mark if training.part is None else digest(["without", *training.part, mark]),
        views=study.data.views_text,
        batch_size=recipe.batch_size,
        model=canonical_model(training.model),
        init_seed=init_seed,
        stream_seed=stream_seed,
        optimizer=recipe.optimizer,
        clip_norm=recipe.clip_norm,
        label_smoothing=recipe.label_smoothing,
        precision=recipe.precision,
        teacher_precision=recipe.precision if training.teacher else "fp32",
        mixup=recipe.mixup,
        cutmix=recipe.cutmix,
        ema=recipe.ema,
        swa=recipe.swa,
        stepper=_stepper(training, device),
        device=device,
    )


def _with_model(node: Node, models: Mapping[str, str]) -> Node:
    if node.training.model not in models:
        return node
    return replace(node, start=replace(node.start, model=models[node.training.model]))


def _stepper(training: Training, device: str) -> str:
    """`fused` for networks so small that a step costs more calls than computing; on a GPU, where
    that is true of every student, `graphed`.

    The rule knows nothing of how many runs there are, or of a machine's pace: a stepper rounds in
    its own way, and so it is part of a run's identity.
    """
    recipe = training.recipe
    averaged = recipe.ema or recipe.swa
    varied = recipe.mixup or recipe.cutmix or averaged  # what changes with every step
    own = training.loss is not None and training.loss.own is not None  # which may do anything
    if training.features:  # which only one network at a time shows
        return "eager"
    if device.startswith("cuda"):  # where an adaptive stop may measure what no graph has recorded
        return "eager" if varied or own or training.adaptive else "graphed"
    tiny = is_tiny(training.model) and device == "cpu"
    simple = isinstance(recipe.optimizer, Sgd) and recipe.precision == "fp32"
    return "fused" if tiny and simple and not (varied or recipe.clip_norm) else "eager"


def _teachers(
    study: StudyConfig, expanded: Expanded, replicate: int, data: _Marks, device: str
) -> list[Node]:
    kept: dict[str, set[int]] = {name: set() for name in expanded.trainings}
    for teacher in expanded.teachers.values():
        for state in states_in(teacher.reference):
            if isinstance(state.at, int):
                kept[state.training].add(state.at)

    # All teachers of a replicate share their seeds, so that teachers of one architecture that
    # differ in their stop begin alike; but not those that are to be different members.
    def seed(what: str, training: Training) -> int:
        more = [training.member] if training.member else []  # without it, the seeds of before
        return _seed(study, "teacher", replicate, what, *more)

    return [
        Node(
            key=teacher_key(replicate, name),
            replicate=replicate,
            role="teacher",
            training=training,
            seed=0,
            start=_start(
                study, training, data, device, seed("init", training), seed("stream", training)
            ),
            keep=frozenset(kept[name]),
            needs=_needs(expanded, training, replicate),
        )
        for name, training in expanded.trainings.items()
    ]


def _students(
    study: StudyConfig, expanded: Expanded, replicate: int, data: _Marks, device: str
) -> list[Node]:
    nodes = []
    for seed in range(study.replicates.students):
        init = _seed(study, "student", replicate, seed, "init")
        stream = _seed(study, "student", replicate, seed, "stream")
        nodes += [
            Node(
                key=student_key(replicate, name, seed),
                replicate=replicate,
                role="student",
                training=training,
                seed=seed,
                start=_start(study, training, data, device, init, stream),
                needs=_needs(expanded, training, replicate),
            )
            for name, training in expanded.conditions.items()
        ]
    return nodes


def _needs(expanded: Expanded, training: Training, replicate: int) -> tuple[str, ...]:
    if training.teacher is None:
        return ()
    states = states_in(expanded.teachers[training.teacher].reference)
    return tuple(dict.fromkeys(teacher_key(replicate, state.training) for state in states))


def _ordered(nodes: list[Node]) -> list[Node]:
    """The nodes in an order in which each follows what it needs; otherwise as given."""
    placed: dict[str, Node] = {}
    waiting = list(nodes)
    while waiting:
        ready = [node for node in waiting if all(need in placed for need in node.needs)]
        placed |= {node.key: node for node in ready}
        waiting = [node for node in waiting if node.key not in placed]
    return list(placed.values())


def _share(nodes: dict[str, Node], expanded: Expanded) -> dict[str, Node]:
    """Lets each node take over the longest prefix that an earlier one has in common with it."""
    chains: dict[str, Trajectory] = {}
    for key, node in nodes.items():
        chain = node.trajectory(*_symbols(expanded, node.training.teacher))
        best, length = None, 0
        for other, earlier in chains.items():
            shared = chain.shared_with(earlier)
            if shared > length:
                best, length = other, shared
        chains[key] = chain
        if best is None:
            continue
        nodes[key] = replace(
            node, needs=tuple(dict.fromkeys((*node.needs, best))), continues=best, shared=length
        )
        # What this one is asked to keep of the shared epochs, the other passes first.
        parent = nodes[best]
        kept = parent.keep | {epoch for epoch in node.keep if epoch <= length}
        parts = length < max(len(chains[best].epochs), len(chain.epochs))
        branches = parent.branches | {length} if parts else parent.branches
        nodes[best] = replace(parent, keep=kept, branches=branches)
    return nodes


def _symbols(expanded: Expanded, teacher: str | None) -> list[str]:
    """Stand for the identities of a teacher's stages before they are trained: equal where the
    references are."""
    if teacher is None:
        return []
    stages = stages_of(expanded.teachers[teacher].reference)
    return [digest([type(stage).__name__, asdict(stage)]) for stage in stages]
