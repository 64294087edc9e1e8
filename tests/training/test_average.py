"""The moving average of weights: its formula, what it delivers, and resuming with it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.config.chain import EpochStep, Start, Trajectory
from tutelage.config.schema import DataConfig, Sgd
from tutelage.data.sources import load_source
from tutelage.data.world import make_world
from tutelage.models.build import build_model
from tutelage.store import Store
from tutelage.training.average import WeightAverage
from tutelage.training.loop import Stopped, train_run
from tutelage.training.run import make_stream
from tutelage.training.trainee import load_weights


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world():
    config = DataConfig(source="digits", train=100, validation=50, test=100, views="shift-1")
    return make_world(load_source(config, lambda kind, key: None), config, 1, 2)


def trajectory(world, epochs=4, **changes):
    start = Start(
        data=world.training_fingerprint, views="shift-1", batch_size=25, model="plain-4-4",
        init_seed=1, stream_seed=2, optimizer=Sgd(), **changes,
    )  # fmt: skip
    return Trajectory(start, (EpochStep(0.05, 1.0),) * epochs)


def test_the_average_follows_its_formula():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = WeightAverage(model, 0.4)
    expected = {k: v.clone().double() for k, v in model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 8):
        model.train()(torch.randn(5, 2, generator=generator))  # moves BatchNorm's statistics
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        average.update(step)
        decay = min(0.4, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in average.model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
        else:
            assert value == 7  # BatchNorm's counter is copied
    assert not any(module.training for module in average.model.modules())
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


def test_what_is_kept_is_the_average_and_training_does_not_notice(world, tmp_path):
    store = Store.open(tmp_path / "s")
    plain = train_run(store, trajectory(world), world, {}, keep=[2])
    averaged = train_run(store, trajectory(world, ema=0.9), world, {}, keep=[2])
    for ours, theirs in zip(averaged.result["history"], plain.result["history"], strict=True):
        assert ours["loss"] == theirs["loss"]  # the same weights were trained
    for name in ("final", "best"):
        assert averaged.result["blobs"][name] != plain.result["blobs"][name]
    state = store.get("state", trajectory(world, ema=0.9).state_ids[2])
    other = store.get("state", trajectory(world).state_ids[2])
    assert state.result["blobs"] != other.result["blobs"]


def test_interrupted_training_with_an_average_ends_with_the_same_bits(world, tmp_path):
    whole = train_run(Store.open(tmp_path / "a"), trajectory(world, ema=0.95), world, {})
    store, asked = Store.open(tmp_path / "b"), iter([False, True, False, False])
    with pytest.raises(Stopped):
        train_run(store, trajectory(world, ema=0.95), world, {}, stop=lambda: next(asked))
    resumed = train_run(store, trajectory(world, ema=0.95), world, {}, stop=lambda: False)
    assert resumed.timing["resumed_at"] == 2
    assert resumed.result == whole.result


def test_no_decay_is_no_average(world):
    assert trajectory(world, ema=0.0).id == trajectory(world).id
    assert trajectory(world, ema=0.9).id != trajectory(world).id


def test_equal_weights_average_all_states_since_a_step():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = WeightAverage(model, 0.0, since=3)
    generator, states = torch.Generator().manual_seed(0), []
    for step in range(1, 8):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        average.update(step)
        states.append([parameter.detach().clone().double() for parameter in model.parameters()])
        counted = states[3:] or states[-1:]  # before it begins, the network itself
        for ours, *theirs in zip(average.model.parameters(), *counted, strict=True):
            expected = torch.stack(theirs).mean(0)
            torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)


def test_statistics_of_the_mean_network_are_measured(world, tmp_path):
    """After SWA a BatchNorm's statistics are those of the images under the averaged weights."""
    store = Store.open(tmp_path / "s")
    way = trajectory(world, swa=2)
    record = train_run(store, way, world, {})
    weights = store.get_arrays(record.result["blobs"]["final"])
    model = build_model("plain-4-4", world.shape, world.classes, 0)
    load_weights(model, weights)
    images = torch.cat([batch.images for batch in make_stream(way.start, world).epoch(3)])
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    convolution = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        hidden = convolution(images)
    parts = hidden.split(25)  # a mean over batches, as it is measured batch by batch
    variance = torch.stack([part.var((0, 2, 3)) for part in parts]).mean(0)
    torch.testing.assert_close(norm.running_mean, hidden.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)


def test_swa_changes_no_training_and_what_it_keeps_is_another_network(world, tmp_path):
    store = Store.open(tmp_path / "s")
    plain = train_run(store, trajectory(world), world, {})
    averaged = train_run(store, trajectory(world, swa=2), world, {})
    rows = list(zip(averaged.result["history"], plain.result["history"], strict=True))
    assert all(ours["loss"] == theirs["loss"] for ours, theirs in rows)
    assert all(ours == theirs for ours, theirs in rows[:2])  # not begun: the network itself
    assert averaged.result["blobs"]["final"] != plain.result["blobs"]["final"]


def test_interrupted_swa_ends_with_the_same_bits(world, tmp_path):
    whole = train_run(Store.open(tmp_path / "a"), trajectory(world, swa=1), world, {})
    store, asked = Store.open(tmp_path / "b"), iter([False, True, False, False])
    with pytest.raises(Stopped):
        train_run(store, trajectory(world, swa=1), world, {}, stop=lambda: next(asked))
    resumed = train_run(store, trajectory(world, swa=1), world, {}, stop=lambda: False)
    assert resumed.timing["resumed_at"] == 2
    assert resumed.result == whole.result
