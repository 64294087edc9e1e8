"""Scaled logits against known factors; signals: frozen, rounded alike, table and network alike."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from tutelage.config.schema import DataConfig
from tutelage.data.mixing import Mixer
from tutelage.data.sources import load_source
from tutelage.data.stream import Stream
from tutelage.data.views import parse_views
from tutelage.data.world import make_world
from tutelage.models.build import build_model
from tutelage.models.predict import padded_forward
from tutelage.store import Store
from tutelage.teachers.bank import Bank, cheapest
from tutelage.teachers.scaling import (
    LEAST,
    MOST,
    calibrated_factor,
    entropy_matched_factor,
    mean_entropy,
)
from tutelage.teachers.signals import (
    EpochSignal,
    LiveSignal,
    ScaledSignal,
    Table,
    TableSignal,
    fold,
    freeze,
)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world():
    config = DataConfig(source="digits", train=130, validation=50, test=100, views="shift-1")
    return make_world(load_source(config, lambda kind, key: None), config, 1, 2)


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(4000, 5)) * 2


def test_calibration_recovers_the_factor_that_the_labels_were_drawn_with(logits):
    rng = np.random.default_rng(1)
    p = np.exp(log_softmax(logits, axis=1))
    labels = np.array([rng.choice(5, p=row) for row in p])
    assert calibrated_factor(logits * 4.0, labels) == pytest.approx(0.25, rel=0.06)


def test_calibration_is_the_least_nll(logits):
    labels = np.random.default_rng(2).integers(0, 5, len(logits))
    labels[::2] = logits[::2].argmax(1)
    best = calibrated_factor(logits, labels)

    def nll(factor):
        return -log_softmax(factor * logits, axis=1)[np.arange(len(labels)), labels].mean()

    assert nll(best) <= min(nll(best * 1.01), nll(best / 1.01))


def test_entropy_matching_undoes_a_factor(logits):
    assert entropy_matched_factor(logits * 3.0, logits, 4.0) == pytest.approx(1 / 3, rel=1e-5)


def test_entropy_matching_matches_the_entropy_at_its_temperature(logits):
    target = np.random.default_rng(3).normal(size=(4000, 5)) * 9
    factor = entropy_matched_factor(logits, target, 4.0)
    assert mean_entropy(factor * logits, 4.0) == pytest.approx(mean_entropy(target, 4.0), rel=1e-4)


def test_a_factor_stays_within_its_bounds():
    flat, sharp = np.zeros((10, 3)), np.eye(3)[np.zeros(10, int)] * 50
    assert entropy_matched_factor(sharp, flat, 1.0) in (LEAST, pytest.approx(LEAST, rel=0.5))
    assert entropy_matched_factor(flat, sharp, 1.0) == MOST


@pytest.mark.parametrize(("scale", "entropy"), [(0.0, np.log(5)), (1e4, 0.0)])
def test_entropy_at_its_limits(logits, scale, entropy):
    assert mean_entropy(logits * scale) == pytest.approx(entropy, abs=1e-2)


def test_a_frozen_teacher_does_not_change_whatever_happens_to_it(world):
    model = build_model("plain-4-4", world.shape, world.classes, 0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    signal = LiveSignal(model)
    views = parse_views("shift-1")
    stream = Stream(world.train, views, 50, 3, world.mean, world.std)
    for batch in stream.epoch(0):
        out = signal(batch)
        assert not out.requires_grad
    assert not model.training
    assert not any(module.training for module in model.modules())
    assert not any(p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_freeze_reaches_dropout():
    model = freeze(nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.9)))
    x = torch.ones(2, 3)
    assert torch.equal(model(x), model(x))


def stream_of(world, views, mixer=None):
    return Stream(world.train, views, 50, 3, world.mean, world.std, mixer=mixer)


@pytest.mark.parametrize("name", ["plain-16-16", "wrn-10-1", "resnet-8", "densenet-bc-10-4"])
def test_a_compiled_teacher_says_the_same_bits_as_the_folded_one(world, name):
    model = build_model(name, world.shape, world.classes, 0)
    live = LiveSignal(model, "bf16")
    images = torch.randn(70, world.shape[2], *world.shape[:2])
    for _ in range(3):  # the compiler looks at the first calls and then changes its mind
        said = live.half(images)
    assert isinstance(live._forward, torch.jit.ScriptModule)
    plain = padded_forward(live.model, images.to(torch.bfloat16), 64)
    assert torch.equal(said, plain.float().half())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_table_and_network_say_the_same_bit_for_bit(world, tmp_path, precision):
    views, bank = parse_views("shift-1"), Bank(Store.open(tmp_path / "s"))
    model = build_model("wrn-10-1", world.shape, world.classes, 0)
    table = Table(bank, "w" * 8, world, views, "cpu", precision).load(model)
    assert table.shape == (9, 130, 10)
    signals = LiveSignal(model, precision), TableSignal(table)
    live, looked_up = (ScaledSignal(signal, 0.7) for signal in signals)
    for epoch in range(3):
        for batch in stream_of(world, views).epoch(epoch):
            assert torch.equal(live(batch), looked_up(batch))


def test_a_table_is_computed_once_and_a_damaged_one_again(world, tmp_path):
    views, bank = parse_views("shift-1"), Bank(Store.open(tmp_path / "s"))
    model = build_model("plain-4-4", world.shape, world.classes, 0)
    table = Table(bank, "w" * 8, world, views, "cpu")
    first = table.load(model)
    nothing = nn.Module()  # cannot be called: a second computation would fail
    assert torch.equal(table.load(nothing), first)
    path = next((bank.store.root / "cache" / "logits").iterdir())
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[:100], b"", bytes(flipped)):
        path.write_bytes(damaged)
        assert torch.equal(table.load(model), first)
        assert path.read_bytes() == whole


@pytest.mark.parametrize("name", ["wrn-10-1", "resnet-8", "densenet-bc-10-6", "vgg-8", "plain-6-7"])
def test_a_folded_teacher_says_the_same_up_to_rounding(world, name):
    model = build_model(name, world.shape, world.classes, 0)
    images = next(stream_of(world, parse_views("none")).epoch(0)).images
    model.train()(images)  # statistics and weights that are not those of the beginning
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    exact = freeze(model)(images)
    folded = fold(model)
    torch.testing.assert_close(
        folded(images), exact, rtol=1e-4, atol=1e-4 * float(exact.abs().max())
    )
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (model, folded)]
    assert norms[1] < norms[0]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    short = LiveSignal(model, "bf16").half(images).float()
    error = (short - exact).norm() / (exact - exact.mean()).norm()
    assert 1e-5 < error < 0.05


def test_a_teacher_that_cannot_be_traced_is_asked_as_it_is():
    class Branching(nn.Module):
        def forward(self, images):
            return images.flatten(1) if images.sum() > 0 else -images.flatten(1)

    images = torch.ones(2, 1, 2, 2)
    assert torch.equal(fold(Branching())(images), images.flatten(1))


class Counted:
    """A network that counts the images that it is shown."""

    def __init__(self, model):
        self.model, self.images = model, 0
        self.model.register_forward_hook(self._count)

    def _count(self, module, inputs, output):
        self.images += len(output)


@pytest.mark.parametrize("mixer", [None, Mixer(mixup=0.5)])
def test_an_epoch_is_asked_of_the_network_once_and_then_read(world, tmp_path, mixer):
    bank, views = Bank(Store.open(tmp_path / "s")), parse_views("crop-2-flip")
    model = build_model("plain-8-8", world.shape, world.classes, 0)
    live, counted = LiveSignal(model), Counted(model)

    def signal():
        stream = stream_of(world, views, mixer)
        return EpochSignal(LiveSignal(model), bank, "teacher and stream", 130, 10, stream)

    first, second = signal(), signal()
    for epoch in (0, 1, 0):
        for batch in stream_of(world, views, mixer).epoch(epoch):
            expected = live(batch)
            assert torch.equal(first(batch), expected)
            assert torch.equal(first(batch), expected)
    asked = counted.images
    for epoch in (1, 0):
        for batch in stream_of(world, views, mixer).epoch(epoch):
            seen = second(batch)
            images = counted.images
            assert images == asked  # the file answered
            assert torch.equal(seen, live(batch))
            asked = counted.images


def test_an_epoch_that_was_left_half_way_is_asked_again(world, tmp_path):
    bank, views = Bank(Store.open(tmp_path / "s")), parse_views("flip")
    model = build_model("plain-4-4", world.shape, world.classes, 0)
    live = LiveSignal(model)
    left = EpochSignal(live, bank, "k", 130, 10, stream_of(world, views))
    left(next(stream_of(world, views).epoch(0)))
    assert not (bank.store.root / "cache" / "logits").exists() or not list(
        (bank.store.root / "cache" / "logits").iterdir()
    )
    again = EpochSignal(live, bank, "k", 130, 10, stream_of(world, views))
    for batch in stream_of(world, views).epoch(0):
        assert torch.equal(again(batch), live(batch))


def test_what_was_used_longest_ago_goes_first(tmp_path):
    store = Store.open(tmp_path / "s")
    bank = Bank(store, most_bytes=3000)
    kept = {name: np.full((40, 10), number, np.float16) for number, name in enumerate("abc")}
    now = 1_700_000_000
    for number, (name, logits) in enumerate(kept.items()):
        bank.keep(name, logits)  # about 960 bytes each
        os.utime(store.cache_file("logits", f"{name}.npy"), (now + number, now + number))
    assert np.array_equal(bank.load("a", (40, 10)), kept["a"])  # used just now
    bank.keep("d", kept["a"])
    assert bank.load("b", (40, 10)) is None
    assert all(bank.load(name, (40, 10)) is not None for name in "acd")
    assert bank.load("a", (10, 40)) is None


def test_the_cheapest_way_to_ask():
    def how(views=9, epochs=30, seeds=1, listeners=1, images=500):
        return cheapest(views, images, 10, epochs=epochs, seeds=seeds, listeners=listeners)

    assert how(views=9, epochs=9) == "table"
    assert how(views=9, epochs=8) == "live"
    assert how(views=9, epochs=3, seeds=3) == "table"
    assert how(views=162, epochs=60, listeners=4) == "epochs"
    assert how(views=162, epochs=60, seeds=3, listeners=4) == "table"
    assert how(views=None, epochs=200, seeds=5, listeners=2) == "epochs"
    assert how(views=None, epochs=200, seeds=5) == "live"
    assert how(views=162, epochs=1000, images=50_000_000) == "live"  # too large for a table
