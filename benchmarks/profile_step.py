"""Where a student's step goes: the ceiling that bare convolutions set, and every part above it.

The ceiling is the sum of the best measured times of the step's convolutions, each alone and hot:
forward, backward to the input and backward to the weights, of the same shapes, type and memory
layout. No step of these networks can be shorter with these convolutions.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from measure import Evidence, Turn, evidence, middle, random_images, seconds_of
from ours import Ours
from torch import Tensor, nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from tutelage.data.stream import Batch
from tutelage.models.build import build_model

STUDENTS, PRECISIONS = ("wrn-16-1", "resnet-20"), ("fp32", "bf16")
TEACHER = "plain-4"  # its logits are replayed: what it is does not matter
BATCH, SHAPE, CLASSES = 128, (32, 32, 3), 10
STEPS = 4  # one epoch, so that whole batches of views are counted

# An operation belongs to the region around it, or else to the part of the innermost name, going
# outwards, that matches one of these.
REGIONS = {"benchmark: data": "data", "benchmark: replay": "replay", "Optimizer.": "optimizer"}
PARTS = (
    ("convolutions", r"conv"),
    ("BatchNorm", r"batch_?norm"),
    ("activation", r"relu|threshold"),
    ("loss", r"softmax|nll|xlogy|kl_div|cross_entropy|argmax"),
    ("casts to bf16", r"_to_copy|ToCopy|aten::to$"),
    ("shortcuts", r"aten::add_?$|AddBackward"),
    ("pooling and head", r"mean|linear|addmm|aten::mm|aten::t$|MeanBackward|AddmmBackward"),
)
OTHER, DISPATCH = "other operations", "Python and dispatch"


@dataclass(frozen=True)
class Convolution:
    """What decides how long a convolution takes; `first` has no gradient to its input."""

    images: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    first: bool


def measure(quick: bool) -> Evidence:
    """Both students in both precisions; `quick`: one student, and fewer repetitions."""
    repeats = 8 if quick else 24
    steps = [
        {"student": student, "precision": precision, **dissect(student, precision, repeats)}
        for student in STUDENTS[: 1 if quick else None]
        for precision in PRECISIONS
    ]
    return evidence("shares of a student's step that learns from replayed logits", batch=BATCH,
                    shape=SHAPE, repeats=repeats, steps=steps)  # fmt: skip


def ratios(found: Evidence) -> dict[str, float]:
    """The share of the convolution ceiling in each student's step."""
    return {f"{row['student']}, {row['precision']}, share of the ceiling": row["ceiling"]["share"]
            for row in found["steps"]}  # fmt: skip


def dissect(student: str, precision: str, repeats: int) -> Evidence:
    """A step, the ceiling's share of it (the best against the best), and its parts."""
    images, labels = random_images(STEPS * BATCH, SHAPE, CLASSES)
    side = Ours(student, TEACHER, images, labels, size=BATCH, count=1, precision=precision,
                replay=True)  # fmt: skip
    batches = side.batches()
    kinds = Counter(convolutions(student))
    bench = {kind: bare(kind, precision) for kind in kinds}
    best = dict.fromkeys(kinds, math.inf)
    steps = list[float]()
    # Steps and bare convolutions take turns, so that both see the same machine.
    for number in range(repeats + 1):
        taken = seconds_of(lambda: side.step(next(batches)))
        steps += [taken] if number else []
        for kind, do in bench.items():
            best[kind] = min(best[kind], sum(seconds_of(part) for part in do))
    ceiling = sum(best[kind] * count for kind, count in kinds.items())
    return {
        "step": middle(steps) | {"best": min(steps)},
        "ceiling": {"seconds": ceiling, "share": ceiling / min(steps),
                    "convolutions": sum(kinds.values())},
        "parts": profiled(side, repeats // 2),
    }  # fmt: skip


def convolutions(student: str) -> list[Convolution]:
    """The convolutions of a forward pass of a batch, in order."""
    model, found = build_model(student, SHAPE, CLASSES, 0), list[Convolution]()

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.Conv2d)
        assert isinstance(module.padding, tuple)
        found.append(Convolution(tuple(inputs[0].shape), tuple(module.weight.shape), module.stride,
                                 module.padding, first=not found))  # fmt: skip

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(note)
    with torch.inference_mode():
        model(torch.zeros(BATCH, SHAPE[2], *SHAPE[:2]))
    return found


def bare(kind: Convolution, precision: str) -> list[Turn]:
    """The parts of a convolution as calls: forward, to the weights, and to the input if any."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def random(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape).to(dtype, memory_format=torch.channels_last)

    images, weight = random(kind.images), random(kind.weight)
    forward = torch.ops.aten.convolution.default
    backward = torch.ops.aten.convolution_backward.default
    rest = (kind.stride, kind.padding, (1, 1), False, (0, 0), 1)
    gradient = torch.randn_like(forward(images, weight, None, *rest))

    def back(*, to_input: bool) -> None:
        wanted = (to_input, not to_input, False)
        backward(gradient, images, weight, None, *rest, wanted)

    parts: list[Turn] = [
        lambda: forward(images, weight, None, *rest), lambda: back(to_input=False),
    ]  # fmt: skip
    return parts if kind.first else [*parts, lambda: back(to_input=True)]


def profiled(side: Ours, passes: int) -> dict[str, float]:
    """Seconds a step of each part, the least of some passes of STEPS profiled steps, as the ceiling
    is the best; what no operation spends is Python's and the dispatcher's."""
    batches, signal = side.batches(), side.signal
    assert signal is not None

    def replay(batch: Batch) -> Tensor:
        with record_function("benchmark: replay"):
            return signal(batch)

    def steps() -> None:
        for _ in range(STEPS):
            with record_function("benchmark: data"):
                batch = next(batches)
            side.step(batch)

    for stepper in side.steppers:
        stepper.signal = replay
    least: dict[str, float] = {}
    for _ in range(passes):
        with profile(activities=[ProfilerActivity.CPU]) as found:
            whole = seconds_of(steps, time.perf_counter)  # the profiler's clock
        parts = by_part(found.events() or [])
        parts[DISPATCH] = whole - sum(parts.values())
        for name, seconds in parts.items():
            least[name] = min(least.get(name, math.inf), seconds / STEPS)
    return dict(sorted(least.items(), key=lambda part: -part[1]))


def by_part(events: Iterable[FunctionEvent]) -> dict[str, float]:
    """Seconds that operations spend themselves, summed by part."""
    seconds: dict[str, float] = defaultdict(float)
    for event in events:
        if event.name.startswith(("aten::", "mkldnn", "autograd::")):
            seconds[part_of(list(names_of(event)))] += event.self_cpu_time_total / 1e6
    return seconds


def names_of(event: FunctionEvent | None) -> Iterator[str]:
    """The name of an operation and of those around it, outwards."""
    while event is not None:
        yield event.name
        event = event.cpu_parent


def part_of(names: Sequence[str]) -> str:
    """The part that an operation belongs to; `names` are its own and those around it, outwards."""
    for name in names:
        for region, part in REGIONS.items():
            if name.startswith(region):
                return part
    for name in names:
        for part, pattern in PARTS:
            if re.search(pattern, name, re.IGNORECASE):
                return part
    return OTHER
