"""Steps on batches of which some images have no label: the loss, and that no label is read."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tutelage.config.canonical import canonical
from tutelage.config.chain import EpochStep, Start, Trajectory
from tutelage.config.schema import DataConfig, Sgd
from tutelage.data.parts import trained_on
from tutelage.data.sources import load_source
from tutelage.data.stream import Batch
from tutelage.data.world import NO_LABEL, make_world
from tutelage.models.build import build_model
from tutelage.store import Store
from tutelage.training.fused_stepper import FusedStepper
from tutelage.training.graphed import GraphedStepper
from tutelage.training.loop import Stopped, train, train_run
from tutelage.training.optimizer import build_optimizer
from tutelage.training.run import Run
from tutelage.training.stepper import EagerStepper
from tutelage.training.trainee import Trainee

LOSS = canonical({"kd": {"temperature": 3}})
STEP = EpochStep(0.05, 0.3, 0.7, LOSS, "teacher")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world():
    config = DataConfig(source="digits", train=200, validation=50, test=50, unlabelled=120)
    whole = make_world(load_source(config, lambda kind, key: None), config, 1, 2)
    return trained_on(whole, "half-a", "extra")


def start(stepper="eager", seed=1, **changes):
    values = {
        "data": "0" * 64, "views": "shift-1", "batch_size": 20, "model": "plain-4-4",
        "init_seed": seed, "stream_seed": seed, "optimizer": Sgd(lr=0.05), "stepper": stepper,
    }  # fmt: skip
    return Start(**{**values, **changes})


def half_labelled(seed, labels=None):
    """Eight images in float64, the first five of which have a label; those of the rest are
    `labels`."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(8, 1, 6, 6, generator=generator, dtype=torch.float64)
    known = torch.randint(0, 3, (5,), generator=generator)
    rest = torch.full((3,), NO_LABEL) if labels is None else labels
    index = torch.arange(8)
    return Batch(index, index, torch.zeros(0), images, torch.cat([known, rest]), labelled=5)


def teacher(batch):
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def reference(model, batch, smoothing):
    """Loss, cross-entropy and KD written out, in float64, and errors and agreements."""
    z, t = model(batch.images), teacher(batch)
    log_q = z - z.exp().sum(1, keepdim=True).log()
    true = F.one_hot(batch.labels[:5], 3).double() * (1 - smoothing) + smoothing / 3
    ce = -(true * log_q[:5]).sum() / 5
    p, q = (t / 3).exp(), (z / 3).exp()
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    kd = 9 * (p * (p.log() - q.log())).sum() / 8
    guess = z.argmax(1)
    errors = (guess[:5] != batch.labels[:5]).sum().double()
    agreements = (guess == t.argmax(1)).sum().double()
    return torch.stack((0.3 * ce + 0.7 * kd, ce, kd, errors, agreements))


def network(seed):
    return build_model("plain-4-4", (6, 6, 1), 3, seed).double().train()


def stepped(stepper, batch, smoothing=0.0):
    """The figures of one step, and the network after it."""
    model = network(1)
    optimizer = build_optimizer(Sgd(lr=0.05), model.parameters())
    how = start(stepper, label_smoothing=smoothing)
    if stepper == "fused":  # beside another one
        other = network(2)
        beside = Trainee(other, build_optimizer(Sgd(lr=0.05), other.parameters()))
        fused = FusedStepper([Trainee(model, optimizer), beside], how)
        fused.begin([STEP, STEP], [teacher, teacher])
        figures = fused.step([batch, batch])[0]
        fused.release()
        return figures, model
    one = (EagerStepper if stepper == "eager" else GraphedStepper)(model, optimizer, how)
    one.begin(STEP, teacher)
    found = one.step(batch)
    return (one.figures() if stepper == "graphed" else found), model


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("stepper", ["eager", "fused", "graphed"])
def test_labels_count_where_there_are_some_and_the_teacher_everywhere(stepper, smoothing):
    batch, model = half_labelled(0), network(1)
    figures, trained = stepped(stepper, batch, smoothing)
    expected = reference(model, batch, smoothing)
    tight = 1e-12 if stepper == "fused" else 1e-6  # the others take logits in float32
    torch.testing.assert_close(figures.double(), expected.detach(), rtol=tight, atol=tight)
    optimizer = build_optimizer(Sgd(lr=0.05), model.parameters())
    expected[0].backward()
    optimizer.step()
    for ours, theirs in zip(trained.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=100 * tight, atol=tight)


def trained(store, world, steppers, stop=None):
    """The digests of students of two seeds, of runs with records in the store."""
    trajectories = [Trajectory(start(steppers, seed), (STEP,) * 3) for seed in (1, 2)]
    table = torch.randn(len(world.train), 10, generator=torch.Generator().manual_seed(4))
    signals = {"teacher": lambda batch: table[batch.index]}
    runs = [Run(store, each, world, signals) for each in trajectories]
    records = {}
    train(runs, finished=records.__setitem__, stop=stop or (lambda: False))
    return [records[number].result for number in range(2)]


@pytest.mark.parametrize("stepper", ["eager", "fused", "graphed"])
def test_what_stands_in_the_place_of_a_label_changes_nothing(stepper):
    for labels in ([0, 1, 2], [2, 2, 0]):
        (first, begun), (second, again) = (
            stepped(stepper, half_labelled(3, rest)) for rest in (None, torch.tensor(labels))
        )
        assert torch.equal(first, second)
        assert all(map(torch.equal, begun.parameters(), again.parameters()))


@pytest.mark.parametrize("stepper", ["eager", "fused"])
def test_a_stopped_run_ends_with_the_same_weights(tmp_path, world, stepper):
    whole = trained(Store.open(tmp_path / "whole"), world, stepper)
    store, asked = Store.open(tmp_path / "parts"), []
    with pytest.raises(Stopped):
        trained(store, world, stepper, stop=lambda: asked.append(1) or len(asked) == 2)
    assert trained(store, world, stepper) == whole


def test_a_run_in_company_is_the_run_alone(tmp_path, world):
    both = trained(Store.open(tmp_path / "both"), world, "fused")
    table = torch.randn(len(world.train), 10, generator=torch.Generator().manual_seed(4))
    for seed, together in zip((1, 2), both, strict=True):
        record = train_run(
            Store.open(tmp_path / f"alone{seed}"), Trajectory(start("fused", seed), (STEP,) * 3),
            world, {"teacher": lambda batch: table[batch.index]},
        )  # fmt: skip
        assert record.result == together


def test_errors_are_shares_of_the_images_with_a_label(tmp_path, world):
    (result, _) = trained(Store.open(tmp_path / "s"), world, "eager")
    errors = [row["train_error"] for row in result["history"]]
    # 100 images with labels: 5 batches of 20, 10 with a label in each.
    assert all(
        error == pytest.approx(round(error / 2) * 2) and 0 <= error <= 100 for error in errors
    )
    assert errors[0] > 50  # ten classes, hardly trained: half of it would be the error of all
