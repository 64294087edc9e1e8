"""Losses of the user's own, named in studies: they train, have an identity, and fail in words."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from tutelage.api import Study
from tutelage.config.schema import LossConfig
from tutelage.errors import UserError
from tutelage.losses import dkd, kd, logit_loss
from tutelage.losses.own import code_mark, own_loss, try_loss

MINE = """\
# Losses of my own.
from torch.nn import functional as F
from beside import squared

def like_kd(student, teacher, temperature=4.0):
    p = (teacher / temperature).softmax(1)
    q, log_p = F.log_softmax(student / temperature, 1), F.log_softmax(teacher / temperature, 1)
    return temperature**2 * (p * (log_p - q)).sum(1).mean()

def like_dkd(student, teacher, labels):
    from tutelage.losses import dkd
    return dkd(student, teacher, labels, 4.0, 1.0, 8.0)

def distance(student, teacher):
    return squared(student, teacher)

def each(student, teacher):
    return squared(student, teacher) * student.new_ones(len(student))

def word(student, teacher):
    return "0.5"

def constant(student, teacher):
    return student.new_tensor(1.0)

def endless(student, teacher):
    return student.sum() / 0

def later(student, teacher):
    from only_when_called import squared as again
    return again(student, teacher)
"""
BESIDE = "def squared(a, b):\n    return ((a - b) ** 2).sum(1).mean()\n"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with losses, from which the study is run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "beside.py").write_text(BESIDE)
    (tmp_path / "only_when_called.py").write_text(BESIDE)
    yield tmp_path
    for name in ("beside", "only_when_called", "mine"):
        sys.modules.pop(name, None)


def study(losses, student="plain-8-8", **changes):
    parts = {
        "name": "own-losses",
        "data": {"source": "digits", "train": 200, "validation": 100, "test": 200,
                 "views": "shift-1"},
        "recipe": {"epochs": 4, "batch_size": 25, "optimizer": {"sgd": {"lr": 0.05}}},
        "student": {"model": student},
        "teachers": {"tutor": {"model": "plain-16-16"}},
        "conditions": {name: {"teacher": "tutor", "loss": loss, "ce_weight": 0.1, "kd_weight": 0.2}
                       for name, loss in losses.items()},
        "replicates": {"count": 1, "students": 2},
    }  # fmt: skip
    return Study(**(parts | changes))


def ran(store, losses, **changes):
    result = study(losses, **changes).run(store, workers=0, device="cpu")
    assert not result.failures
    return {row["key"]: row for row in result.runs}


@pytest.mark.parametrize("student", ["plain-8-8", "wrn-10-2"])  # fused, and by itself
def test_a_loss_of_ones_own_trains_as_the_same_one_of_ours(mine, student):
    losses = {
        "ours": {"kd": {"temperature": 2}},
        "mine": {"own": {"function": "mine.py:like_kd", "arguments": {"temperature": 2}}},
        "standardised": {"own": {"function": "mine.py:like_kd"}, "standardise": True},
        "labelled": {"own": {"function": "mine.py:like_dkd", "labels": True}},
        "later": "mine.py:later",
    }
    small = {"epochs": 2, "batch_size": 25, "optimizer": {"sgd": {"lr": 0.05}}}
    rows = ran(mine / "s", losses, student=student,
               **({"recipe": small, "replicates": {"count": 1, "students": 1}}
                  if student != "plain-8-8" else {}))  # fmt: skip
    assert {row["status"] for row in rows.values()} == {"done"}
    assert len({row["digest"] for row in rows.values()}) == len(rows)
    assert rows["r0/mine/s0"]["loss"] == "mine.py:like_kd, temperature 2, weights 0.1/0.2"
    ours, own = (rows[f"r0/{name}/s0"] for name in ("ours", "mine"))
    assert own["val_error"] == pytest.approx(ours["val_error"], abs=2)  # equal up to rounding


def test_values_are_those_of_the_function_for_one_student_and_several(mine):
    z, t = torch.randn(2, 3, 6, 5, dtype=torch.float64).requires_grad_().unbind(0)
    labels = torch.randint(5, (3, 6))
    own = own_loss("mine.py:like_kd", {"temperature": 3.0})
    found = own(z, t, labels)
    torch.testing.assert_close(found, kd(z, t, 3.0))
    for index in range(3):
        assert torch.equal(found[index], own(z[index], t[index], labels[index]))
    with_labels = own_loss("mine.py:like_dkd", labels=True)(z, t, labels)
    torch.testing.assert_close(with_labels, dkd(z, t, labels, 4.0, 1.0, 8.0))
    form = LossConfig.model_validate("mine.py:distance").form(0, 1)
    assert form == {"own": {"function": "mine.py:distance"}}
    found = logit_loss('{"own":{"function":"mine.py:distance"}}')(z, t, labels)
    torch.testing.assert_close(found, (z - t).square().sum(-1).mean(-1))
    (slope,) = torch.autograd.grad(found.sum(), t, allow_unused=True)
    assert slope is None  # no gradient reaches the teacher


def ids(store, loss="mine.py:distance"):
    rows = ran(store, {"it": loss}, recipe={"epochs": 1, "batch_size": 25})
    return {rows[f"r0/it/s{seed}"]["id"] for seed in (0, 1)}


def forget():
    sys.modules.pop("beside", None)


def test_a_run_is_found_again_by_the_code_of_its_loss(mine):
    first = ids(mine / "s")
    assert ids(mine / "s") == first
    (mine / "mine.py").write_text("# another comment\n" + MINE)
    assert ids(mine / "s") == first
    (mine / "mine.py").write_text(MINE.replace("0.5", "0.75"))
    second = ids(mine / "s")
    assert not second & first
    (mine / "beside.py").write_text(BESIDE.replace("mean()", "sum()"))
    forget()
    third = ids(mine / "s")
    assert not third & (first | second)
    own = {"function": "mine.py:distance", "arguments": {}, "version": "1"}
    versioned = ids(mine / "s", {"own": own})
    (mine / "mine.py").write_text(MINE)
    assert ids(mine / "s", {"own": own}) == versioned
    assert not ids(mine / "s", {"own": own | {"version": "2"}}) & versioned


def test_a_loss_that_changes_while_its_study_runs_is_told(mine):
    mark = code_mark("mine.py:distance")
    assert isinstance(own_loss("mine.py:distance", code=mark)(*[torch.zeros(2, 2)] * 3), Tensor)
    (mine / "mine.py").write_text(MINE.replace("0.5", "0.6"))
    changed = code_mark("mine.py:distance")
    assert changed != mark
    (mine / "mine.py").write_text(MINE.replace("0.5", "0.7"))
    with pytest.raises(UserError, match="has changed since the study began"):
        own_loss("mine.py:distance", code=changed)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("mine.py:distanse", "Did you mean 'distance'"),
        ("none.py:distance", r"none\.py cannot be read"),
        ("mine.py:each", r"mine\.py:each: gives float32 \[6\] instead of one num"),
        ("mine.py:word", "gives str, not a tensor"),
        ("mine.py:constant", "has no gradient for the student's logits"),
        ("mine.py:endless", "gives (inf|-inf|nan) for usual logits"),
        ("mine.py:like_dkd", "it raised TypeError: .*labels.*`labels: true` passes labels"),
        ({"own": {"function": "mine.py:like_kd", "arguments": {"tau": 2}}},
         r"unexpected keyword argument 'tau'.*doctor losses mine\.py:like_kd"),
    ],
)  # fmt: skip
def test_what_is_no_loss_is_one_message(mine, loss, message):
    with pytest.raises(UserError, match=f"(?s)the loss of it.*{message}"):
        study({"it": loss}).run(mine / "s", workers=0, device="cpu")


def test_what_cannot_be_said_of_a_loss_is_one_message(mine):
    with pytest.raises(UserError, match="cut"):
        study({"it": "cut"})
    with pytest.raises(UserError, match="needs exactly one of"):
        study({"it": {"kd": {}, "own": {"function": "mine.py:distance"}}})
    both = {"it": {"own": {"function": "mine.py:like_dkd", "labels": True}}}
    with pytest.raises(UserError, match="takes labels, and these images have none"):
        study(both, conditions={"it": {"teacher": "tutor", "loss": both["it"], "images": "half-a",
                                       "unlabelled": "half-b"}}).plan()  # fmt: skip


def test_a_loss_that_fails_in_training_fails_its_runs_alone(mine):
    (mine / "mine.py").write_text(
        MINE + "\ndef odd(student, teacher):\n"
        "    return squared(student, teacher) if len(student) == 6 else student.sum(1)\n"
    )
    result = study({"it": "mine.py:odd", "kd": "kd"}).run(mine / "s", workers=0, device="cpu")
    assert set(result.failures) == {"r0/it/s0", "r0/it/s1", "r0/compare"}  # which waits for all
    assert {row["condition"] for row in result.runs if row["status"] == "done"} == {
        "kd", "scratch", "tutor"
    }  # fmt: skip
    assert "mine.py:odd: gives float32 [25] instead of one number" in str(result.failures)


def test_a_module_is_as_good_as_a_file(mine):
    try_loss("mine:like_kd", {"temperature": 2.0}, labels=False)
    assert code_mark("mine:distance") == code_mark("mine.py:distance")
