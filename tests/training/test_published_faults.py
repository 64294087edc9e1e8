"""Faults found in public code for distillation: a test for each, and that it finds the fault.

`expect` runs a check on this code, and on the same code with the fault put in, where it must fail.
Those of losses are in tests/losses/test_*_faults.py, those of hooks in tests/models/test_features
and tests/training/test_features_step.
"""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import load as read_safetensors
from torch import nn

from tutelage.api import Study
from tutelage.config.canonical import canonical
from tutelage.config.chain import EpochStep, Start, Trajectory
from tutelage.config.schema import DataConfig, Sgd
from tutelage.data.sources import load_source
from tutelage.data.stream import Stream
from tutelage.data.views import Views, parse_views
from tutelage.data.world import make_world
from tutelage.models.build import build_model
from tutelage.store import DamageWarning, Store
from tutelage.teachers import signals
from tutelage.teachers.bank import Bank
from tutelage.teachers.signals import LiveSignal, Table, TableSignal
from tutelage.training import run as running
from tutelage.training.loop import Stopped, train, train_run
from tutelage.training.run import Run
from tutelage.training.stepper import EagerStepper
from tutelage.training.trainee import Trainee

LOSS = canonical({"kd": {"temperature": 4}})
TAUGHT, ALONE = EpochStep(0.05, 0.1, 0.9, LOSS, "teacher"), EpochStep(0.05, 1.0)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world():
    config = DataConfig(source="digits", train=100, validation=50, test=100, views="shift-1")
    return make_world(load_source(config, lambda kind, key: None), config, 1, 2)


def expect(check, monkeypatch, put_in):
    """The check passes, and fails once the fault was put in."""
    check()
    put_in()
    with pytest.raises(AssertionError):
        check()
    monkeypatch.undo()


def start(world, model="plain-4-4", **changes):
    return Start(data=world.training_fingerprint, views="shift-1", batch_size=25, model=model,
                 init_seed=1, stream_seed=2, optimizer=Sgd(momentum=0.9), **changes)  # fmt: skip


def trained(world, folder, steps, heard=None, **changes):
    chain = Trajectory(start(world, **changes), tuple(steps))
    store = Store.open(folder)
    return store, train_run(store, chain, world, {"teacher": heard} if heard else {})


class Dropping(nn.Module):
    """A teacher with everything that behaves otherwise in training."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.head = nn.Linear(4, 10)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


def test_the_student_is_left_in_eval_mode_after_the_first_evaluation(world, tmp_path, monkeypatch):
    modes = []
    step, begin = EagerStepper.step, EagerStepper.begin

    def watched(self, batch):
        modes.append(all(module.training for module in self.model.modules()))
        return step(self, batch)

    def check():
        modes.clear()
        monkeypatch.setattr(EagerStepper, "step", watched)
        trained(world, tmp_path / f"{len(os.listdir(tmp_path))}", [ALONE] * 3)
        assert len(modes) == 12
        assert all(modes)

    def put_in():
        def faulty(self, *arguments, **options):
            was = self.model.training
            begin(self, *arguments, **options)
            self.model.train(was)

        monkeypatch.setattr(EagerStepper, "begin", faulty)
        evaluated = running.Run.end_epoch

        def left(self, *arguments):
            evaluated(self, *arguments)
            self.trainee.model.eval()

        monkeypatch.setattr(running.Run, "end_epoch", left)

    expect(check, monkeypatch, put_in)


def test_the_teacher_is_left_in_train_mode(world, monkeypatch):
    batch = next(make_stream(world).epoch(0))

    def check():
        torch.manual_seed(0)
        teacher = Dropping().train()
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        signal = LiveSignal(teacher)
        assert torch.equal(signal(batch), signal(batch))  # no dropout
        after = teacher.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())

    def put_in():
        monkeypatch.setattr(signals, "freeze", lambda model: model.requires_grad_(False))

    expect(check, monkeypatch, put_in)


def test_the_teacher_s_forward_pass_keeps_a_graph(world, monkeypatch):
    batch = next(make_stream(world).epoch(0))

    def check():
        teacher = Dropping()
        logits = LiveSignal(teacher)(batch)
        assert logits.grad_fn is None
        assert not any(parameter.requires_grad for parameter in teacher.parameters())

    def put_in():
        monkeypatch.setattr(signals, "freeze", lambda model: model.eval())
        monkeypatch.setattr(LiveSignal, "half", LiveSignal.half.__wrapped__)

    expect(check, monkeypatch, put_in)


def test_the_teacher_still_runs_after_distillation_stopped(world, tmp_path, monkeypatch):
    class Counting:
        asked = 0

        def __call__(self, batch):
            Counting.asked += 1
            return F.one_hot(batch.labels, 10).float()

    def check():
        Counting.asked = 0
        folder = tmp_path / f"{len(os.listdir(tmp_path))}"
        trained(world, folder, [TAUGHT, TAUGHT, ALONE, ALONE], Counting())
        assert Counting.asked == 2 * 4

    def put_in():
        step = EagerStepper.step

        def faulty(self, batch):
            Counting()(batch)  # and weighted by 0
            return step(self, batch)

        monkeypatch.setattr(EagerStepper, "step", faulty)

    expect(check, monkeypatch, put_in)


def make_stream(world, seed=3):
    return Stream(world.train, parse_views("shift-1"), 25, seed, world.mean, world.std)


def test_stored_outputs_of_the_teacher_are_misaligned_by_shuffling_or_augmentation(
    world, tmp_path, monkeypatch
):
    teacher = build_model("plain-8-8", (8, 8, 1), 10, seed=0)
    views = parse_views("shift-1")
    assert isinstance(views, Views)
    table = Table(Bank(Store.open(tmp_path / "s")), "w" * 64, world, views, "cpu").load(teacher)
    live = LiveSignal(teacher)

    def check():
        stored = TableSignal(table)
        for epoch in range(3):
            for batch in make_stream(world).epoch(epoch):
                assert torch.equal(stored(batch), live(batch))

    for wrong in (
        lambda self, batch: self.table[batch.view, torch.arange(25)].float(),  # in order of storing
        lambda self, batch: self.table[0, batch.index].float(),  # another view of the image
    ):
        expect(check, monkeypatch, lambda wrong=wrong: monkeypatch.setattr(
            TableSignal, "__call__", wrong))  # fmt: skip


def test_no_seed_is_set_anywhere(world, tmp_path, monkeypatch):
    def check():
        digests = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            np.random.seed(seed)
            folder = tmp_path / f"{len(os.listdir(tmp_path))}"
            _, record = trained(world, folder, [ALONE] * 2)
            digests.append(record.result["blobs"]["final"])
        assert digests[0] == digests[1]

    def put_in():
        def unseeded(name, shape, classes, seed):
            return build_model(name, shape, classes, int(torch.randint(1 << 30, ())))

        monkeypatch.setattr(running, "build_model", unseeded)

    expect(check, monkeypatch, put_in)


def test_the_best_epoch_on_the_test_set_is_reported(tmp_path, monkeypatch):
    study = Study(
        name="s", data={"source": "digits", "train": 100, "validation": 50, "test": 200},
        recipe={"epochs": 6, "batch_size": 25, "optimizer": {"sgd": {"lr": 0.3}}},
        student={"model": "plain-4-4"}, replicates={"count": 1, "students": 1},
    )  # fmt: skip
    result = study.run(tmp_path / "store", workers=0, device="cpu")
    (row,) = result.runs
    store = result.context.store
    record = store.get("run", row["id"])
    context = result.context

    def error_of(weights):
        evaluation = context.evaluation(record.result["start"]["model"], weights, 0)
        logits = store.get_arrays(evaluation.result["blobs"]["logits"])["test"]
        return 100 * np.mean(logits.argmax(1) != context.world(0).test.labels)

    def check(reported):
        # That of the last epoch; and while a student trains, nobody looks at the test set.
        assert reported == pytest.approx(error_of(record.result["blobs"]["final"]))

    check(row["test_error"])
    assert not any("test" in key for line in record.result["history"] for key in line)
    with pytest.raises(AssertionError):
        check(row["test_error"] - 0.5)


def test_resume_loses_the_scheduler_or_the_state_of_random_numbers(world, tmp_path, monkeypatch):
    rates = [EpochStep(0.1 * 0.5**epoch, 1.0) for epoch in range(4)]

    def check():
        number = len(os.listdir(tmp_path))
        _, whole = trained(world, tmp_path / f"{number}", rates)
        store, chain = Store.open(tmp_path / f"{number}b"), Trajectory(start(world), tuple(rates))
        asked = iter([False, True])
        with pytest.raises(Stopped):
            train([Run(store, chain, world, {})], stop=lambda: next(asked))
        resumed = train_run(store, chain, world, {})
        assert resumed.timing["resumed_at"] == 2
        assert resumed.result == whole.result

    restore = Trainee.restore

    def without_momentum(self, arrays, meta, run):
        restore(self, arrays, meta, run)
        self.optimizer.state.clear()

    def another_stream(self, epoch, ask=Stream.epoch):
        return ask(self, max(0, epoch - 2) if epoch >= 2 else epoch)

    def from_the_first_rate(self):
        return self.trajectory.epochs[max(0, self.trainee.epoch - self.began_at)]

    for target, name, fault in (
        (Trainee, "restore", without_momentum),
        (Run, "step", property(from_the_first_rate)),
    ):
        expect(check, monkeypatch, lambda t=target, n=name, f=fault: monkeypatch.setattr(t, n, f))

    def reseeded():  # a resumed run sees the images of the first epochs again
        resume = Run._resume

        def left(self, limit):
            found = resume(self, limit)
            if found:
                monkeypatch.setattr(Stream, "epoch", another_stream)
            return found

        monkeypatch.setattr(Run, "_resume", left)

    expect(check, monkeypatch, reseeded)


def test_the_weights_of_the_teacher_are_in_the_student_s_file(world, tmp_path, monkeypatch):
    teacher = LiveSignal(build_model("plain-8-8", (8, 8, 1), 10, seed=0))

    def check():
        folder = tmp_path / f"{len(os.listdir(tmp_path))}"
        store, record = trained(world, folder, [TAUGHT], teacher)
        arrays = store.get_arrays(record.result["blobs"]["final"])
        student = build_model("plain-4-4", (8, 8, 1), 10, seed=0)
        assert list(arrays) == sorted(student.state_dict())
        sizes = {name: value.numel() for name, value in student.state_dict().items()}
        assert {name: array.size for name, array in arrays.items()} == sizes

    def put_in():
        weights_of = running.weights_of

        def both(model):
            theirs = weights_of(teacher.model)
            return weights_of(model) | {f"teacher.{name}": array for name, array in theirs.items()}

        monkeypatch.setattr(running, "weights_of", both)

    expect(check, monkeypatch, put_in)


def test_weights_are_loaded_by_unpickling(world, tmp_path):
    store, record = trained(world, tmp_path / "store", [ALONE])
    digest = record.result["blobs"]["final"]
    paths = [path for path in store.root.rglob("*") if path.is_file()]
    (path,) = [path for path in paths if path.stem == digest]
    assert read_safetensors(path.read_bytes()).keys() == store.get_arrays(digest).keys()

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    path.chmod(0o600)
    hostile = pickle.dumps(Hostile())
    path.write_bytes(hostile)
    with pytest.warns(DamageWarning):
        assert store.get_arrays(digest) is None
    assert not (tmp_path / "executed").exists()
    pickle.loads(hostile)  # what the fault does
    assert (tmp_path / "executed").exists()


def test_a_table_is_edited_by_hand_and_mislabelled(tmp_path):
    study = Study(
        name="s", data={"source": "digits", "train": 100, "validation": 50, "test": 200},
        recipe={"epochs": 2, "batch_size": 25}, student={"model": "plain-4-4"},
        replicates={"count": 1, "students": 1},
    )  # fmt: skip
    result = study.run(tmp_path / "store", workers=0, device="cpu")
    (row,) = result.runs
    before = row["test_error"]
    (path,) = (tmp_path / "store" / "records" / "evaluation").rglob("*.json")
    record = json.loads(path.read_text())
    text = path.read_text().replace(
        json.dumps(record["result"]["metrics"]["test"]["error"]), "1.5", 1
    )
    assert text != path.read_text()
    path.chmod(0o600)
    path.write_text(text)
    # A record that was edited is no record any more: it is set aside, and computed again.
    with pytest.warns(DamageWarning, match="evaluation"):
        again = study.run(tmp_path / "store", workers=0, device="cpu")
    assert [each["test_error"] for each in again.runs] == [before]
    assert [each["digest"] for each in again.runs] == [row["digest"]]
