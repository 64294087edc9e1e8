"""Our side of the same work: the parts that a study trains with."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np

from tutelage.config.canonical import canonical
from tutelage.config.chain import EpochStep, Start
from tutelage.config.schema import Sgd
from tutelage.data.stream import Batch, Stream
from tutelage.data.views import parse_views
from tutelage.data.world import Split
from tutelage.models.build import build_model
from tutelage.store import Store
from tutelage.teachers.bank import Bank
from tutelage.teachers.signals import EpochSignal, LiveSignal
from tutelage.training.optimizer import build_optimizer
from tutelage.training.stepper import EagerStepper

MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32)
STD = np.array([0.2470, 0.2435, 0.2616], np.float32)
KD = canonical({"kd": {"temperature": 4.0}})


class Ours:
    """`count` students of one teacher, in one precision, on one stream.

    `live`: in each step the teacher is asked once for all of them. `replay`: its logits of the
    epoch lie in a bank. Neither for students from scratch.
    """

    def __init__(
        self, student: str, teacher: str | None, images: np.ndarray, labels: np.ndarray,
        *, size: int, count: int, precision: str, replay: bool,
    ) -> None:  # fmt: skip
        shape, classes = images.shape[1:], int(labels.max()) + 1
        split = Split(images, labels)
        self.stream = Stream(split, parse_views("crop-4-flip"), size, 0, MEAN, STD)
        start = Start(
            data="", views="crop-4-flip", batch_size=size, model=student, init_seed=0,
            stream_seed=0, optimizer=Sgd(lr=0.05), precision=precision,
            teacher_precision=precision,
        )  # fmt: skip
        signal = None
        if teacher is not None:
            live = LiveSignal(build_model(teacher, shape, classes, 0), precision)
            self._folder = tempfile.TemporaryDirectory()
            bank = Bank(Store.open(self._folder.name))
            signal = EpochSignal(live, bank, "t", len(labels), classes, self.stream)
            step = EpochStep(0.05, 0.1, 0.9, KD, "t")
        else:
            step = EpochStep(0.05, 1.0)
        self.steppers = []
        for seed in range(count):
            model = build_model(student, shape, classes, seed)
            stepper = EagerStepper(model, build_optimizer(Sgd(), model.parameters()), start)
            stepper.begin(step, signal)
            self.steppers.append(stepper)
        if replay and signal is not None:
            for batch in self.stream.epoch(0):
                signal(batch)
        self.signal, self.replay = signal, replay

    def batches(self) -> Iterator[Batch]:
        """Batches without end: of one epoch again and again in `replay`, else of new ones."""
        epoch = 0
        while True:
            yield from self.stream.epoch(epoch)
            epoch += not self.replay

    def step(self, batch: Batch) -> None:
        """One step of every student."""
        for stepper in self.steppers:
            stepper.step(batch)
