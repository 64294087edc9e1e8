"""What is wrong with a student, a teacher and images, before any time is spent on training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from tutelage.config.chain import Start
from tutelage.config.schema_model import ModelConfig, read_model
from tutelage.config.trainings import is_logits
from tutelage.data.image_files import ImageFiles
from tutelage.data.stream import Batch, Stream, normalise
from tutelage.data.world import Split, World
from tutelage.losses import kd
from tutelage.models.adapted import follow, inner
from tutelage.models.build import build_model
from tutelage.models.weights import load_some
from tutelage.study.context import Context
from tutelage.study.plan import Node
from tutelage.teachers.bank import Bank
from tutelage.teachers.signals import EpochSignal, LiveSignal
from tutelage.training.optimizer import build_optimizer
from tutelage.training.run import make_stream
from tutelage.training.stepper import EagerStepper
from tutelage.training.trainee import weights_of

STEPS = 30
LOOKED_AT = 512  # images by which a teacher's own error is told
_BETTER = 10.0  # points of error by which another way of giving images must be better to be named
_STATISTICS = {
    "ImageNet's": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "[-1, 1]": ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "[0, 1]": ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
}


@dataclass(frozen=True)
class Found:
    """What one check found: whether all is well, what is so, and what to do where it is not."""

    well: bool
    text: str
    fix: str = ""


@dataclass
class Pair:
    """The student and the teacher of a prepared study of `distilling.distillation`."""

    context: Context

    @cached_property
    def world(self) -> World:
        """The images of the first replicate."""
        return self.context.world(0)

    @cached_property
    def nodes(self) -> tuple[Node, Node]:
        """The distilled student and the teacher."""
        return self.context.node("r0/distilled/teacher/s0"), self.context.node("r0/teacher/teacher")

    @cached_property
    def stream(self) -> Stream:
        """The student's batches."""
        return make_stream(self.nodes[0].start, self.world)

    def network(self, start: Start, config: ModelConfig | None = None) -> nn.Module:
        """A network as its training begins, or told otherwise how it wants its images."""
        text = start.model if config is None else config.text
        model = build_model(text, self.world.shape, self.world.classes, start.init_seed)
        weights = read_model(start.model).weights
        if weights is not None:
            arrays = self.context.store.get_arrays(weights)
            assert arrays is not None, "they were put there when the study was prepared"
            load_some(inner(model), arrays)
        follow(model, self.world.mean, self.world.std)
        return model


def examine_pair(context: Context) -> Iterator[Found]:
    """All checks, one after the other; each is quick."""
    pair = Pair(context)
    checks: list[Callable[[Pair], Iterator[Found]]] = [
        _images, _sizes, _modes, _agreement, _teacher_as_it_comes, _bank, _learning,
    ]  # fmt: skip
    if is_logits(pair.nodes[1].start.model):  # there is nothing of it that could run
        checks = [_images, _teacher_as_it_comes]
    for check in checks:
        yield from check(pair)


def _images(pair: Pair) -> Iterator[Found]:
    world = pair.world
    height, width, channels = world.shape
    counts = np.bincount(world.train.labels, minlength=world.classes)
    yield Found(
        True,
        f"{len(world.train):,} training, {len(world.validation):,} validation and "
        f"{len(world.test):,} test images of {height}x{width}x{channels}, {world.classes} classes "
        f"of {counts.min()} to {counts.max()} training images",
    )
    if counts.min() == 0:
        missing = [world.class_names[i] for i in np.flatnonzero(counts == 0)[:5]]
        yield Found(False, f"no training image of {', '.join(missing)}", "Add some, or leave the "
                    "class out.")  # fmt: skip
    elif counts.max() > 10 * counts.min():
        yield Found(False, "some classes have ten times as many images as others",
                    "Look at balanced_error too: a claim can take it as its metric.")  # fmt: skip
    seen = set(_marks(world.train))
    twice = sum(mark in seen for mark in _marks(world.test))
    share = 100 * twice / len(world.test)
    yield Found(
        share < 0.5, f"{twice} of the test images ({share:.1f} %) are training images, too",
        "Remove them from one of the two: errors on them say nothing.",
    )  # fmt: skip


def _marks(split: Split) -> Iterator[bytes]:
    """What tells each image of a split from others: its pixels, or what is in its file."""
    images = split.images
    rows = images.marks if isinstance(images, ImageFiles) else images
    return (row.tobytes() for row in rows)


def _sizes(pair: Pair) -> Iterator[Found]:
    costs = pair.context.manifest["costs"]
    student, teacher = (costs[node.training.model] for node in pair.nodes)
    ratio = teacher["parameters"] / student["parameters"]
    yield Found(
        True,
        f"student of {student['parameters']:,} parameters, teacher of {teacher['parameters']:,} "
        f"({ratio:.1f} times as many); both give logits of {pair.world.classes} classes",
    )
    if ratio < 1.0:
        yield Found(False, "the teacher is smaller than the student",
                    "Were --student and --teacher meant the other way round?")  # fmt: skip


def _modes(pair: Pair) -> Iterator[Found]:
    batch = next(iter(pair.stream.epoch(0)))
    for name, node in zip(("student", "teacher"), pair.nodes, strict=True):
        model = pair.network(node.start).eval()
        with torch.no_grad():
            first, again = model(batch.images), model(batch.images)
            alone = torch.cat([model(batch.images[i : i + 2]) for i in range(0, 4, 2)])
        steady = torch.equal(first, again)
        yield Found(
            steady, f"the {name} in eval mode answers alike when it is asked twice",
            "Something in it still draws, such as dropout that looks at no mode.",
        )  # fmt: skip
        apart = float((first[:4] - alone).abs().max() / first.abs().max().clamp_min(1e-6))
        yield Found(
            apart < 1e-2, f"the {name} in eval mode answers for each image by itself",
            "An image's logits depend on the others in its batch: does a BatchNorm ignore eval()?",
        )  # fmt: skip


def _agreement(pair: Pair) -> Iterator[Found]:
    """The loss knows the student by itself, and the teacher is left as it was."""
    student, teacher = (pair.network(node.start) for node in pair.nodes)
    batch = next(iter(pair.stream.epoch(0)))
    with torch.no_grad():
        logits = student.eval()(batch.images).float()
    itself = float(kd(logits, logits, temperature=4.0))
    yield Found(abs(itself) < 1e-5, f"the loss of the student taught by itself is {itself:.0e}")
    before = {name: value.copy() for name, value in weights_of(teacher).items()}
    stepper = _stepper(pair, student, LiveSignal(teacher))
    for each in islice(pair.stream.epoch(0), 3):
        stepper.step(each)
    same = all(np.array_equal(before[name], value) for name, value in weights_of(teacher).items())
    bare = all(parameter.grad is None for parameter in teacher.parameters())
    yield Found(same and bare, "three steps of the student leave the teacher as it was, its "
                "statistics too, without gradients")  # fmt: skip


def _teacher_as_it_comes(pair: Pair) -> Iterator[Found]:
    """Whether a teacher with weights from outside is given images as it wants them, and its
    outputs are the classes that they are taken for."""
    node, world = pair.nodes[1], pair.world
    config = read_model(node.start.model)
    if config.weights is None or config.head is not None:
        yield Found(True, "the teacher is trained here: nothing to find out before")
        return
    split = world.validation
    labels = split.labels[:LOOKED_AT]
    logits = _logits(pair, node.start, None)
    error = _error(logits, labels)
    chance = 100.0 * (1.0 - 1.0 / world.classes)
    best, said = error, ""
    for name, (mean, std) in _STATISTICS.items():
        channels = config.channels or world.shape[2]
        told = {"mean": mean[:channels], "std": std[:channels]}
        other = config.model_copy(update=told)
        if len(told["mean"]) == channels:
            found = _error(_logits(pair, node.start, other), labels)
            if found < best:
                best, said = found, f"{name} mean {told['mean']} and std {told['std']}"
    text = f"the teacher as it came has {error:.1f} % error on {len(labels)} validation images"
    if best < error - _BETTER:
        yield Found(False, f"{text}, and {best:.1f} % when given {said}",
                    "Give the teacher that mean and std.")  # fmt: skip
        return
    matched = _matched(logits, labels, world.classes) if config.class_order is None else None
    turned = error if matched is None else _error(logits[:, matched], labels)
    # The best of all orders is better by chance, too: it has to make a teacher that knows much.
    if matched is not None and error - turned > _BETTER and turned < 0.8 * chance:
        order = ", ".join(world.class_names[i] for i in np.argsort(matched))
        yield Found(
            False, f"{text}, and {turned:.1f} % with its outputs taken in another order",
            f"Give it class_order: [{order}].",
        )  # fmt: skip
        return
    fix = "It knows little of this data: fine-tune it."
    if is_logits(node.start.model):
        fix = "Are its rows in the order of the files? tutelage.images_in_order gives that."
    yield Found(error < 0.8 * chance, text, fix)


def _bank(pair: Pair) -> Iterator[Found]:
    """Logits that were kept are those of the same views of the same images."""
    live = LiveSignal(pair.network(pair.nodes[1].start))
    start, world = pair.nodes[0].start, pair.world
    most = 4 * start.batch_size
    few = Split(world.train.images[:most], world.train.labels[:most])
    stream = make_stream(start, replace(world, train=few))
    sizes = (len(few), world.classes, stream)
    bank = Bank(pair.context.store)
    writer = EpochSignal(live, bank, "doctor", *sizes)
    asked = [writer(batch) for batch in stream.epoch(0)]
    reader = EpochSignal(LiveSignal(_silent(live.model)), bank, "doctor", *sizes)
    read = [reader(batch) for batch in stream.epoch(0)]
    alone = [live(batch) for batch in stream.epoch(0)]
    alike = all(torch.equal(a, b) and torch.equal(a, c)
                for a, b, c in zip(asked, read, alone, strict=True))  # fmt: skip
    yield Found(alike, "logits read from the bank are, bit for bit, those of the teacher asked "
                "live")  # fmt: skip


def _learning(pair: Pair) -> Iterator[Found]:
    student, teacher = (pair.network(node.start) for node in pair.nodes)
    stepper = _stepper(pair, student, LiveSignal(teacher))
    batch = next(iter(pair.stream.epoch(0)))
    losses = [float(stepper.step(batch)[0]) for _ in range(STEPS)]
    still = [name for name, p in inner(student).named_parameters()
             if p.requires_grad and (p.grad is None or not p.grad.any())]  # fmt: skip
    ends = f"from {losses[0]:.3g} to {losses[-1]:.3g}"
    learned = np.isfinite(losses).all() and losses[-1] < 0.97 * losses[0]
    yield Found(bool(learned), f"the loss of one batch goes {ends} in {STEPS} steps",
                "Try another learning rate, with --lr.")  # fmt: skip
    names = ", ".join(still[:3]) + (", ..." if len(still) > 3 else "")
    yield Found(
        not still, "every parameter of the student gets a gradient" if not still
        else f"{len(still)} parameters of the student get no gradient: {names}",
        "They take no part in its logits, or are cut off from them.",
    )  # fmt: skip


def _stepper(pair: Pair, student: nn.Module, signal: Callable[[Batch], Tensor]) -> EagerStepper:
    """A stepper in an epoch of the student's training that has the full learning rate."""
    start = pair.nodes[0].start
    stepper = EagerStepper(student, build_optimizer(start.optimizer, student.parameters()), start)
    epochs = pair.nodes[0].trajectory("doctor").epochs
    stepper.begin(max(epochs, key=lambda step: step.lr), signal)
    return stepper


def _logits(pair: Pair, start: Start, config: ModelConfig | None) -> np.ndarray:
    pixels = torch.from_numpy(np.array(pair.world.validation.images[:LOOKED_AT]))
    images = normalise(pixels, pair.world.mean, pair.world.std)
    with torch.no_grad():
        return pair.network(start, config).eval()(images).float().numpy()


def _error(logits: np.ndarray, labels: np.ndarray) -> float:
    return 100.0 * float((logits.argmax(1) != labels).mean())


def _matched(logits: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray | None:
    """The output that fits each class best, all different; None where a class was not seen."""
    table = np.zeros((classes, classes))
    np.add.at(table, (labels, logits.argmax(1)), 1.0)
    if (table.sum(1) == 0).any():
        return None
    return linear_sum_assignment(table, maximize=True)[1]


def _silent(model: nn.Module) -> nn.Module:
    """A copy that would answer otherwise, so that whoever reads a bank cannot have asked it."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    return other
