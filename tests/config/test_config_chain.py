"""The prefix chain: the same beginning has the same ids, and any difference changes them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import chain
from tutelage.config.chain import RESULTS_VERSION, EpochStep, Start, Trajectory
from tutelage.config.schema import AdamW, Sgd

START = Start(
    data="d" * 64,
    views="shift-1",
    batch_size=50,
    model="plain-8-8",
    init_seed=1,
    stream_seed=2,
    optimizer=Sgd(),
)
TAUGHT = EpochStep(0.1, 0.1, 0.9, '{"kd":{"temperature":4}}', "t" * 64)
PLAIN = EpochStep(0.1, 1.0)

# For every field a value that means something else. A new field needs its line here.
OTHER_START = {
    "data": "e" * 64,
    "views": "none",
    "batch_size": 25,
    "model": "plain-8-9",
    "init_seed": 3,
    "stream_seed": 4,
    "optimizer": Sgd(momentum=0.8),
    "clip_norm": 1.0,
    "label_smoothing": 0.1,
    "precision": "bf16",
    "teacher_precision": "bf16",
    "mixup": 0.2,
    "cutmix": 1.0,
    "ema": 0.99,
    "swa": 3,
    "stepper": "fused",
    "device": "cuda",
}
OTHER_STEP = {
    "lr": 0.02,
    "ce_weight": 0.2,
    "kd_weight": 0.8,
    "loss": '{"kd":{"temperature":2}}',
    "teacher": "u" * 64,
    "features": '{"at":{"weight":1000}}',
    "rule": '{"adaptive":"gradients","patience":3,"threshold":0.5}',
    "otherwise": EpochStep(0.1, 1.0),
}


def chained(*epochs, start=START):
    return Trajectory(start, epochs)


def test_every_field_has_a_line_in_the_tables_above():
    assert list(OTHER_START) == [item.name for item in fields(Start)]
    assert list(OTHER_STEP) == [item.name for item in fields(EpochStep)]


@pytest.mark.parametrize("name", OTHER_START)
def test_any_change_of_the_start_changes_every_id(name):
    one = chained(TAUGHT, PLAIN)
    other = chained(TAUGHT, PLAIN, start=replace(START, **{name: OTHER_START[name]}))
    assert not set(one.state_ids) & set(other.state_ids)
    assert one.shared_with(other) == other.shared_with(one) == -1


@pytest.mark.parametrize("name", OTHER_STEP)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_any_change_of_an_epoch_changes_the_ids_from_there_on(name, at):
    epochs = [TAUGHT] * 3
    epochs[at] = replace(TAUGHT, **{name: OTHER_STEP[name]})
    one, other = chained(*[TAUGHT] * 3), chained(*epochs)
    same = [a == b for a, b in zip(one.state_ids, other.state_ids, strict=True)]
    assert same == [True] * (at + 1) + [False] * (3 - at)
    assert one.shared_with(other) == other.shared_with(one) == at


@pytest.mark.parametrize(
    "optimizer",
    [
        Sgd(momentum=0.5),
        Sgd(nesterov=False),
        Sgd(weight_decay=0.0),
        AdamW(),
        AdamW(weight_decay=5e-4),
    ],
)
def test_every_constant_of_the_optimizer_counts(optimizer):
    assert chained(start=replace(START, optimizer=optimizer)).id != chained().id


@pytest.mark.parametrize("name", ["beta1", "beta2", "eps", "weight_decay"])
def test_every_constant_of_adamw_counts(name):
    one = replace(START, optimizer=AdamW())
    other = replace(START, optimizer=AdamW(**{name: 0.25}))
    assert chained(start=one).id != chained(start=other).id


def test_the_optimizers_peak_rate_counts_by_what_epochs_do_alone():
    other = replace(START, optimizer=Sgd(lr=0.7))
    assert chained(TAUGHT, start=other).state_ids == chained(TAUGHT).state_ids


def test_where_no_teacher_is_heard_none_is_part_of_the_identity():
    silent = EpochStep(0.1, 1.0, 0.0, TAUGHT.loss, TAUGHT.teacher)
    assert not silent.distils
    assert chained(silent).id == chained(PLAIN).id
    assert chained(silent).shared_with(chained(PLAIN)) == 1
    assert PLAIN.form() == {"lr": 0.1, "ce_weight": 1.0}


def test_defaults_are_left_out_so_that_new_options_change_no_old_id():
    assert set(START.form()) == {
        "data", "views", "batch_size", "model", "init_seed", "stream_seed", "optimizer",
    }  # fmt: skip
    spelled = replace(START, clip_norm=None, label_smoothing=0, precision="fp32", stepper="eager",
                      device="cpu")  # fmt: skip
    assert chained(start=spelled).id == chained().id
    assert START.form()["optimizer"] == {
        "sgd": {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    }


def test_the_chain_is_the_formula_of_its_docstring():
    def sha(value):
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    versions = {name: RESULTS_VERSION[name] for name in ("data", "models", "training")}
    first = sha({"start": START.form(), "results_version": versions})
    second = sha([first, 1, TAUGHT.form()])
    third = sha([second, 2, {"lr": 0.1, "ce_weight": 1}])  # 1.0 is written as 1
    assert chained(TAUGHT, PLAIN).state_ids == (first, second, third)


@pytest.mark.parametrize("component", RESULTS_VERSION)
def test_raising_a_results_version_changes_the_ids_of_what_rests_on_it(monkeypatch, component):
    before, alone = chained(PLAIN, TAUGHT, PLAIN).state_ids, chained(PLAIN).state_ids
    raised = RESULTS_VERSION | {component: RESULTS_VERSION[component] + 1}
    monkeypatch.setattr(chain, "RESULTS_VERSION", raised)
    after = chained(PLAIN, TAUGHT, PLAIN).state_ids
    same = [mine == theirs for mine, theirs in zip(before, after, strict=True)]
    if component in ("losses", "teachers"):  # what was trained by labels alone stays as it is
        assert same == [True, True, False, False]
        assert chained(PLAIN).state_ids == alone
    else:
        assert not any(same)


def test_equal_epochs_at_other_places_are_other_states():
    ids = chained(*[PLAIN] * 5).state_ids
    assert len(set(ids)) == 6


def test_a_prefix_is_the_beginning_and_shares_it():
    whole = chained(TAUGHT, TAUGHT, PLAIN)
    for epochs in range(4):
        cut = whole.prefix(epochs)
        assert cut.state_ids == whole.state_ids[: epochs + 1]
        assert cut.id == whole.state_ids[epochs]
        assert cut.shared_with(whole) == whole.shared_with(cut) == epochs


STEPS = st.lists(st.sampled_from([TAUGHT, PLAIN, replace(PLAIN, lr=0.02)]), max_size=6)


@given(STEPS, STEPS)
def test_ids_agree_exactly_as_far_as_the_epochs_do(one, other):
    a, b = chained(*one), chained(*other)
    shared = a.shared_with(b)
    assert shared == b.shared_with(a)
    assert one[:shared] == other[:shared]
    assert (
        one[shared : shared + 1] != other[shared : shared + 1] or len(one) == len(other) == shared
    )
    assert a.state_ids[: shared + 1] == b.state_ids[: shared + 1]
    assert not set(a.state_ids[shared + 1 :]) & set(b.state_ids[shared + 1 :])
