"""Scaled logits against known factors; signals: frozen, rounded alike, table and network alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from tutelage.config.schema import DataConfig
from tutelage.data.sources import load_source
from tutelage.data.stream import Stream
from tutelage.data.views import parse_views
from tutelage.data.world import make_world
from tutelage.models.build import build_model
from tutelage.store import Store
from tutelage.teachers.scaling import (
    LEAST,
    MOST,
    calibrated_factor,
    entropy_matched_factor,
    mean_entropy,
)
from tutelage.teachers.signals import LiveSignal, Table, TableSignal, freeze, table_pays


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


def test_table_and_network_say_the_same_bit_for_bit(world, tmp_path):
    views, store = parse_views("shift-1"), Store.open(tmp_path / "s")
    model = build_model("plain-8-8", world.shape, world.classes, 0)
    table = Table(store, "w" * 8, world, views, "cpu").load(model)
    assert table.shape == (9, 130, 10)
    live, looked_up = LiveSignal(model, 0.7), TableSignal(table, 0.7)
    stream = Stream(world.train, views, 50, 3, world.mean, world.std)
    for epoch in range(3):
        for batch in stream.epoch(epoch):
            assert torch.equal(live(batch), looked_up(batch))


def test_a_table_is_computed_once_and_a_damaged_one_again(world, tmp_path):
    views, store = parse_views("shift-1"), Store.open(tmp_path / "s")
    model = build_model("plain-4-4", world.shape, world.classes, 0)
    table = Table(store, "w" * 8, world, views, "cpu")
    first = table.load(model)
    nothing = nn.Module()  # cannot be called: a second computation would fail
    assert torch.equal(table.load(nothing), first)
    path = next((store.root / "cache" / "tables").iterdir())
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[:100], b"", bytes(flipped)):
        path.write_bytes(damaged)
        assert torch.equal(table.load(model), first)
        assert path.read_bytes() == whole


def test_a_table_pays_where_views_are_fewer_than_epochs():
    few, many = parse_views("shift-1").count, parse_views("crop-4-flip").count
    assert table_pays(few, 500, 10, epochs=9)
    assert not table_pays(few, 500, 10, epochs=8)
    assert not table_pays(many, 500, 10, epochs=161)
    assert not table_pays(many, 50_000_000, 1000, epochs=1000)
