"""Every loss trains a student by its name, in one fused network or by itself."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.api import Study
from tutelage.config.schema_losses import METHODS
from tutelage.errors import UserError
from tutelage.study import execute
from tutelage.training.loop import Stopped, train

FORMS = {
    "kd": "kd",
    "mse": "mse",
    "dist": "dist",
    "dkd": "dkd",
    "annealing": {"annealing": {"steps": 3}},
    "standardised": {"kd": {}, "standardise": True},
}


@pytest.mark.parametrize("student", ["plain-8-8", "plain-20-20"])  # the second is not fused
def test_every_loss_trains_a_student_by_its_name(tmp_path, student):
    assert {"standardised", *METHODS} == set(FORMS)
    study = Study(
        name="losses",
        data={"source": "digits", "train": 500, "validation": 100, "test": 300, "views": "shift-1"},
        recipe={"epochs": 15, "batch_size": 25, "optimizer": {"sgd": {"lr": 0.05, "momentum": 0.9}},
                "clip_norm": 5.0 if student == "plain-20-20" else None},
        student={"model": student},
        teachers={"t": {"model": "plain-16-16"}},
        conditions={
            name: {"teacher": "t", "loss": loss} | ({"ce_weight": 0.1} if name == "mse" else {})
            for name, loss in FORMS.items()
        },
        replicates={"count": 1, "students": 1},
    )  # fmt: skip
    result = study.run(tmp_path / "store", workers=0, device="cpu")
    assert not result.failures
    rows = {row["condition"]: row for row in result.runs if row["role"] == "student"}
    assert {*FORMS, "scratch"} == set(rows)
    assert len({row["digest"] for row in rows.values()}) == len(rows)
    for name, row in rows.items():
        assert row["status"] == "done", name
        assert row["test_error"] < 50, (name, row["test_error"])  # chance is 90
    store = result.context.store
    for name in FORMS:
        history = store.get("run", rows[name]["id"]).result["history"]
        distilled = [line["kd"] for line in history if line["kd"] is not None]
        assert len(distilled) == (12 if name == "annealing" else 15)  # 0.8 of them
        assert np.isfinite(distilled).all()
        assert distilled[-1] < distilled[0] or name == "annealing", name


def attentive(**changes):
    parts = {
        "name": "attention",
        "data": {"source": "digits", "train": 200, "validation": 50, "test": 200},
        "recipe": {"epochs": 6, "batch_size": 50, "optimizer": {"sgd": {"lr": 0.05}}},
        "student": {"model": "plain-8-8"},
        "teachers": {"t": {"model": "plain-12-16"}, "cool": {"of": "t", "scale": "calibrated"}},
        "conditions": {
            "at": {"teacher": "t", "loss": "at"},
            "both": {"teacher": "t", "loss": {"kd": {}, "at": {}}},
            "same": {
                "teacher": "t",
                "loss": {"kd": {}, "at": {"student": ["stages.0", "stages.1"]}},
            },
            "stopped": {"extends": "both", "distill_until": 0.5},
            "kd": {"teacher": ["t", "cool"]},
            "cool": {"extends": "both", "teacher": "cool"},
        },
        "replicates": {"count": 1, "students": 1},
    }
    return Study(**(parts | changes))


def test_attention_transfer_trains_alone_with_another_loss_and_until_an_epoch(tmp_path):
    result = attentive().run(tmp_path / "store", workers=0, device="cpu")
    assert not result.failures
    rows = {row["condition"]: row for row in result.runs if row["role"] == "student"}
    store = result.context.store
    histories = {name: store.get("run", row["id"]).result["history"] for name, row in rows.items()}
    assert all(line["at"] > 0 for line in histories["at"])
    assert all(line["kd"] == 0.0 for line in histories["at"])
    assert histories["at"][-1]["at"] < histories["at"][0]["at"]
    assert [("at" in line, line["kd"] is None) for line in histories["stopped"]] == (
        [(True, False)] * 3 + [(False, True)] * 3
    )
    assert histories["stopped"][:3] == histories["both"][:3]  # a shared prefix
    assert all("at" not in line for line in histories["kd/t"] + histories["scratch"])
    assert rows["same"]["id"] != rows["both"]["id"]
    assert rows["same"]["digest"] == rows["both"]["digest"]  # its modules are the usual ones
    assert len({row["digest"] for row in rows.values()}) == len(rows) - 1
    assert rows["at"]["loss"] == "AT, weights 1/1000"
    assert rows["both"]["loss"] == "KD, temperature 4, and AT, weights 0.1/0.9/1000"
    assert "until epoch 3, then 1/0/0" in rows["stopped"]["loss"]
    starts = {name: store.get("run", row["id"]).result["start"] for name, row in rows.items()}
    assert "stepper" not in starts["both"]  # which needs one network at a time
    assert starts["kd/t"]["stepper"] == "fused"


def test_a_run_with_features_goes_on_where_it_was_left(tmp_path, monkeypatch):
    whole = attentive().run(tmp_path / "whole", workers=0, device="cpu")
    epochs = iter(range(100))

    def interrupted(runs, **options):
        return train(runs, **(options | {"stop": lambda: next(epochs) == 8}))

    monkeypatch.setattr(execute, "train", interrupted)
    with pytest.raises(Stopped):
        attentive().run(tmp_path / "halves", workers=0, device="cpu")
    monkeypatch.undo()
    again = attentive().run(tmp_path / "halves", workers=0, device="cpu")
    store = again.context.store
    resumed = {row["condition"]: store.get("run", row["id"]).timing["resumed_at"]
               for row in again.runs}  # fmt: skip
    assert any(0 < epoch < 6 for name, epoch in resumed.items() if name != "stopped")
    digests = [{row["id"]: row["digest"] for row in result.runs} for result in (whole, again)]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": {"at": {"student": ["stages.7"]}}}, "student: unknown module 'stages.7'"),
        ({"loss": {"at": {"teacher": ["stages.0"]}}}, "2 modules of the student cannot be paired"),
        ({"loss": {"at": {"student": ["head"], "teacher": ["stages.1"]}}},
         "student: head: gives [2, 10], no maps"),
        ({"loss": {"at": {}, "standardise": True}}, "standardise is for a loss of logits"),
        ({"loss": "at", "kd_weight": 0.5}, "kd_weight is that of a loss of logits"),
        ({"at_weight": 3.0}, "at_weight is that of attention transfer"),
        ({"loss": "at", "ce_weight": 0.0, "at_weight": 0.0}, "weights are 0"),
        ({"loss": {"at": {"student": []}}}, "conditions.c.loss.at.student"),
    ],
)  # fmt: skip
def test_features_that_cannot_be_compared_are_told_before_anything_runs(tmp_path, change, words):
    with pytest.raises(UserError) as caught:
        attentive(conditions={"c": {"teacher": "t", **change}}).prepare(tmp_path / "store", "cpu")
    assert words in str(caught.value)
    assert "Traceback" not in str(caught.value)
