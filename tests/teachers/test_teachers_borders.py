"""Factors against independent figures, the bank at its borders, signals beyond their usual case."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import softmax
from torch import nn

from tutelage.config.schema import DataConfig
from tutelage.data.sources import load_source
from tutelage.data.stream import Stream
from tutelage.data.views import parse_views
from tutelage.data.world import make_world
from tutelage.models.build import build_model
from tutelage.store import Store
from tutelage.teachers.bank import LARGEST_TABLE, Bank, cheapest
from tutelage.teachers.scaling import (
    LEAST,
    MOST,
    calibrated_factor,
    entropy_matched_factor,
    mean_entropy,
)
from tutelage.teachers.signals import (
    FeatureSignal,
    LiveSignal,
    MeanSignal,
    PartsSignal,
    ScaledSignal,
    Table,
    TableSignal,
)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world():
    config = DataConfig(source="digits", train=130, validation=50, test=100, views="shift-1")
    return make_world(load_source(config, lambda kind, key: None), config, 1, 2)


@pytest.fixture
def batch(world):
    views = parse_views("shift-1")
    return next(Stream(world.train, views, 25, 3, world.mean, world.std).epoch(0))


@pytest.fixture
def bank(tmp_path):
    return Bank(Store.open(tmp_path / "s"))


# --- factors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [None, 0.5, 4.0])
def test_mean_entropy_is_that_of_scipy_in_double_precision(dtype, temperature):
    logits = (np.random.default_rng(0).normal(size=(50, 7)) * 3).astype(dtype)
    p = softmax(logits.astype(np.float64) / (temperature or 1.0), axis=1)
    expected = np.mean([stats.entropy(row) for row in p])
    given = () if temperature is None else (temperature,)
    assert mean_entropy(logits, *given) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_a_calibrated_factor_is_exact_to_its_six_digits(seed):
    """Where the derivative of the NLL is zero: the mean of z_y is the mean of E_p[z]."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(300, 4)) * 2
    labels = np.where(rng.random(300) < 0.6, logits.argmax(1), rng.integers(0, 4, 300))

    def slope(factor):
        p = softmax(factor * logits, axis=1)
        return np.mean((p * logits).sum(1) - logits[np.arange(300), labels])

    low, high = 1e-3, 1e3
    for _ in range(200):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    found = calibrated_factor(logits, labels)
    assert found == pytest.approx(low, rel=1e-6, abs=0)
    assert abs(found - low) < 0.6 * 10 ** (np.floor(np.log10(low)) - 5)
    assert found == float(f"{found:.6g}")


def test_a_teacher_that_knows_nothing_is_scaled_least():
    flat = np.zeros((5, 3))
    assert entropy_matched_factor(flat, flat, 1.0) == LEAST


def test_a_teacher_that_cannot_be_sure_is_scaled_most():
    """Two classes tie, so that the entropy never falls below log 2."""
    tied, sure = np.array([[1.0, 1.0, 0.0]]), np.array([[1e6, 0.0, 0.0]])
    assert entropy_matched_factor(tied, sure, 1.0) == MOST


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entropies_are_matched_at_the_temperature_asked_for(dtype):
    rng = np.random.default_rng(4)
    logits, target = rng.normal(size=(60, 5)).astype(dtype), 3 * rng.normal(size=(60, 5))
    factor = entropy_matched_factor(logits, target, 4.0)
    ours = softmax(factor * logits.astype(np.float64) / 4, axis=1)
    theirs = softmax(target / 4, axis=1)
    found, wanted = (np.mean(stats.entropy(p, axis=1)) for p in (ours, theirs))
    assert found == pytest.approx(wanted, rel=1e-5)


# --- the bank ------------------------------------------------------------------------------------


def test_a_table_that_just_fits_is_one_and_one_image_more_is_not():
    def how(images):
        return cheapest(4, images, 32, epochs=10, seeds=1, listeners=2)

    images = LARGEST_TABLE // (4 * 32 * 2)
    assert how(images) == "table"
    assert how(images + 1) == "epochs"


def test_what_is_kept_is_half_precision_and_mapped(bank):
    logits = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    bank.keep("a", logits)
    found = bank.load("a", (3, 4))
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, logits.astype(np.float16))
    assert bank.load("a", (4, 3)) is None


def test_logits_that_just_fit_stay(tmp_path):
    store, logits = Store.open(tmp_path / "s"), np.zeros((10, 10), np.float16)
    Bank(store).keep("first", logits)
    first = store.cache_file("logits", "first.npy").stat().st_size
    array_bytes = first - 32  # a checksum is behind it
    Bank(store, most_bytes=array_bytes + first).keep("second", logits)
    assert Bank(store).load("first", (10, 10)) is not None
    os.utime(store.cache_file("logits", "first.npy"), (1, 1))  # used longest ago
    Bank(store, most_bytes=array_bytes + 2 * first - 1).keep("third", logits)
    kept = [name for name in ("first", "second") if Bank(store).load(name, (10, 10)) is not None]
    assert kept == ["second"]


def test_logits_are_read_where_nothing_can_be_written(bank, monkeypatch):
    bank.keep("a", np.ones((2, 2)))

    def refused(*_, **__):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refused)
    assert bank.load("a", (2, 2)) is not None


# --- signals -------------------------------------------------------------------------------------


def test_each_teacher_has_a_table_of_its_own(world, bank):
    views = parse_views("shift-1")
    tables = []
    for seed in range(2):
        model = build_model("plain-4-4", world.shape, world.classes, seed)
        tables.append(Table(bank, f"{seed}" * 64, world, views, "cpu").load(model))
    assert not torch.equal(*tables)


def test_a_table_that_another_process_made_in_the_meantime_is_taken(world, bank, monkeypatch):
    views = parse_views("shift-1")
    model = build_model("plain-4-4", world.shape, world.classes, 0)
    table = Table(bank, "0" * 64, world, views, "cpu")
    theirs = np.full((views.count, len(world.train), world.classes), 7.0, np.float16)

    @contextmanager
    def lock(_, key):
        bank.keep(key, theirs)  # while we waited
        yield True

    monkeypatch.setattr(Bank, "lock", lock)
    np.testing.assert_array_equal(table.load(model).numpy(), theirs)


def test_a_factor_multiplies(batch):
    table = TableSignal(torch.randn(9, 130, 10).half())
    assert torch.equal(ScaledSignal(table, 2.5)(batch), table(batch) * 2.5)


def test_a_mean_is_that_of_its_members_and_parts_are_told_by_place(batch):
    members = [TableSignal(torch.randn(9, 130, 10).half()) for _ in range(3)]
    said = [member(batch) for member in members]
    expected = (said[0] + said[1] + said[2]) / 3
    torch.testing.assert_close(MeanSignal(members)(batch), expected, rtol=1e-6, atol=1e-6)
    part = torch.arange(130) % 3
    found = PartsSignal(members, part)(batch)
    for place, image in enumerate(batch.index.tolist()):
        assert torch.equal(found[place], said[image % 3][place])


class Untraceable(nn.Module):
    """A network whose way depends on its images."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, images):
        flat = images.flatten(1)
        return self.head(flat if flat.sum() > 0 else -flat)


def test_a_network_that_cannot_be_folded_is_left_as_it_is():
    model = Untraceable()
    LiveSignal(model, "bf16")
    assert model.head.weight.dtype == torch.float32


def test_features_in_bf16_are_those_of_autocast(batch):
    model = build_model("wrn-10-0.5", (8, 8, 1), 10, 0).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected = model(batch.images).float()
    found = FeatureSignal(model, {"at": ["groups.0"]}, "bf16")(batch)
    assert torch.equal(found, expected)
    exact = FeatureSignal(model, {"at": ["groups.0"]})(batch)
    assert not torch.equal(exact, expected)


def test_a_table_that_is_there_is_taken_without_waiting(world, bank, monkeypatch):
    views = parse_views("shift-1")
    model = build_model("plain-4-4", world.shape, world.classes, 0)
    table = Table(bank, "0" * 64, world, views, "cpu")
    first = table.load(model)

    def lock(*_):
        raise AssertionError("nobody has to wait for what is known")

    monkeypatch.setattr(Bank, "lock", lock)
    assert torch.equal(table.load(model), first)


def test_whoever_shows_no_features_is_told_so(batch):
    with pytest.raises(AssertionError, match=r"^features are asked of whoever shows them$"):
        ScaledSignal(TableSignal(torch.zeros(9, 130, 10).half()), 1.0).heard(batch)


def test_logits_that_somebody_else_removed_first_are_no_error(tmp_path, monkeypatch):
    store, logits = Store.open(tmp_path / "s"), np.zeros((10, 10))
    Bank(store).keep("first", logits)
    really = Path.unlink

    def after_another(path, missing_ok=False):
        really(path)
        really(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", after_another)
    Bank(store, most_bytes=1).keep("second", logits)
    assert Bank(store).load("first", (10, 10)) is None


def test_a_network_that_branches_is_not_traced():
    """Whichever way its first batch went, the next one may go the other."""
    model = Untraceable()
    signal = LiveSignal(model, "bf16")
    for sign in (1.0, -1.0):
        images = sign * torch.rand(5, 1, 8, 8)
        weights, bias = (each.detach().bfloat16() for each in (model.head.weight, model.head.bias))
        flat = (sign * images).flatten(1).bfloat16()
        expected = torch.nn.functional.linear(flat, weights, bias).float()
        torch.testing.assert_close(signal.half(images).float(), expected, rtol=0.02, atol=0.02)


def test_a_network_of_coloured_images_is_compiled_too():
    model = build_model("wrn-10-0.5", (8, 8, 3), 10, 0)
    signal = LiveSignal(model, "bf16")
    signal.half(torch.randn(2, 3, 8, 8))
    assert signal._forward is not signal.model
