"""Losses of features in studies: by their names, together, stopped, resumed, refused."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.api import Study
from tutelage.config.schema_losses import FEATURE_METHODS
from tutelage.errors import UserError
from tutelage.models.build import build_model
from tutelage.models.cost import model_cost
from tutelage.study import execute
from tutelage.training.loop import Stopped, train

NAMES = ("fitnets", "sp", "rkd", "crd")


def study(conditions, **changes):
    parts = {
        "name": "features",
        "data": {"source": "digits", "train": 200, "validation": 50, "test": 200},
        "recipe": {"epochs": 4, "batch_size": 40, "clip_norm": 5.0,
                   "optimizer": {"sgd": {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}}},
        "student": {"model": "plain-8-8"},
        "teachers": {"t": {"model": "plain-12-16"}},
        "conditions": {name: {"teacher": "t", **how} for name, how in conditions.items()},
        "replicates": {"count": 1, "students": 1},
    }  # fmt: skip
    return Study(**(parts | changes))


def students(result):
    """Of each student its row, its history and its weights."""
    store = result.context.store
    found = {}
    for row in result.runs:
        if row["role"] == "student":
            record = store.get("run", row["id"])
            weights = store.get_arrays(record.result["blobs"]["final"])
            found[row["condition"]] = (row, record, weights)
    return found


def test_every_loss_of_features_trains_a_student_by_its_name(tmp_path):
    assert set(NAMES) == set(FEATURE_METHODS) - {"at"}
    conditions = {name: {"loss": name} for name in NAMES}
    conditions["all"] = {"loss": {"kd": {}, **{name: {} for name in FEATURE_METHODS}}}
    conditions["named"] = {"loss": {"rkd": {"student": ["head:input"], "teacher": ["head:input"]}}}
    recipe = {"epochs": 15, "batch_size": 20, "optimizer": {"sgd": {"lr": 0.05, "momentum": 0.9}},
              "clip_norm": 5.0}  # fmt: skip
    result = study(conditions, recipe=recipe).run(tmp_path / "store", workers=0, device="cpu")
    assert not result.failures
    found = students(result)
    plain = build_model("plain-8-8", (8, 8, 1), 10, 0).state_dict()
    for name, (row, record, weights) in found.items():
        history = record.result["history"]
        compared = {"all": sorted(FEATURE_METHODS), "scratch": [], "named": ["rkd"]}
        for loss in compared.get(name, [name]):
            figures = [line[loss] for line in history]
            assert np.isfinite(figures).all()
            assert min(figures) > 0
            assert figures[-1] < figures[0], (name, loss, figures)
        others = set(FEATURE_METHODS) - set(compared.get(name, [name]))
        assert not any(other in line for line in history for other in others)
        # Chance is 90. At full weight, all of them together leave this network no room for labels.
        assert row["test_error"] < (70 if name != "all" else 89), (name, row["test_error"])
        # What was delivered is the plain network, and nothing else.
        assert set(weights) == set(plain)
        assert all(weights[key].size == value.numel() for key, value in plain.items())
        model_rows = result.context.manifest["costs"]["plain-8-8"]
        cost = model_cost("plain-8-8", (8, 8, 1), 10)
        assert model_rows == {"parameters": cost.parameters, "macs": cost.macs}
    assert found["named"][0]["id"] != found["rkd"][0]["id"]
    assert found["named"][0]["digest"] == found["rkd"][0]["digest"]  # the usual modules
    assert len({row["digest"] for row, *_ in found.values()}) == len(found) - 1
    assert found["fitnets"][0]["loss"] == "FitNets, weights 1/100"
    assert found["all"][0]["loss"] == (
        "KD, temperature 4, and AT and FitNets and SP and RKD and CRD, "
        "weights 0.1/0.9/1000/100/3000/1/0.8"
    )


LONG = {
    "trained": {"loss": {"kd": {}, "fitnets": {}, "crd": {"negatives": 20}}},
    "stopped": {"loss": {"kd": {}, "fitnets": {}, "crd": {"negatives": 20}}, "distill_until": 0.5},
    "later": {
        "loss": {"kd": {}, "crd": {}},
        "crd_weight": 0.0,
        "distill_until": 0.5,
        "after": {"ce_weight": 1.0, "crd_weight": 0.5},
    },
    "kd": {"loss": {"kd": {}}, "distill_until": 0.5},
}


def test_a_run_with_trained_losses_goes_on_bit_by_bit_where_it_was_left(tmp_path, monkeypatch):
    whole = study(LONG).run(tmp_path / "whole", workers=0, device="cpu")
    left = []

    def interrupted(runs, **options):
        # In the middle of the first run that trains a regressor.
        (run,) = runs if len(runs) == 1 else (runs[0],)
        middle = "fitnets" in run.step.feature_losses if not run.is_over else False

        def stop():
            if middle and run.trainee.epoch == 3:
                left.append(run.trainee.arrays())
                return True
            return False

        return train(runs, **(options | {"stop": stop}))

    monkeypatch.setattr(execute, "train", interrupted)
    with pytest.raises(Stopped):
        study(LONG).run(tmp_path / "halves", workers=0, device="cpu")
    monkeypatch.undo()
    assert {key.split("/")[1] for key in left[0] if key.startswith("loss/")} == {"fitnets", "crd"}
    assert any(key.startswith("loss/fitnets/optimizer/") for key in left[0])
    again = study(LONG).run(tmp_path / "halves", workers=0, device="cpu")
    store = again.context.store
    resumed = {row["condition"]: store.get("run", row["id"]).timing["resumed_at"]
               for row in again.runs if row["role"] == "student"}  # fmt: skip
    assert resumed["trained"] == 3
    digests = [{row["id"]: row["digest"] for row in result.runs} for result in (whole, again)]
    assert digests[0] == digests[1]


def test_what_is_shared_of_two_trainings_is_trained_once_and_means_the_same(tmp_path):
    together = students(study(LONG).run(tmp_path / "both", workers=0, device="cpu"))
    for name in ("stopped", "later"):
        alone = study({name: LONG[name]}).run(tmp_path / name, workers=0, device="cpu")
        row, _, _ = students(alone)[name]
        assert row["id"] == together[name][0]["id"]
        assert row["digest"] == together[name][0]["digest"]
    history = {name: record.result["history"] for name, (_, record, _) in together.items()}
    assert history["stopped"][:2] == history["trained"][:2]
    assert [("crd" in line, line["kd"] == 0) for line in history["later"]] == (
        [(False, False)] * 2 + [(True, True)] * 2
    )
    assert together["stopped"][1].timing["resumed_at"] == 2
    assert "until epoch 2, then 1/0/0/0" in together["stopped"][0]["loss"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": {"fitnets": {"student": ["head:input"]}}},
         "loss.fitnets of c, student: head:input: takes [2, 8], no maps [batch"),
        ({"loss": {"sp": {"teacher": ["stages.0", "stages.1"]}}},
         "1 modules of the student cannot be paired with 2 of the teacher"),
        ({"loss": {"rkd": {"student": ["hed:input"]}}}, "student: unknown module 'hed'"),
        ({"loss": {"crd": {"student": ["stages.0", "stages.1"]}}}, "conditions.c.loss.crd.student"),
        ({"loss": {"crd": {"momentum": 1.0}}}, "conditions.c.loss.crd.momentum"),
        ({"loss": {"crd": {"negatives": 0}}}, "conditions.c.loss.crd.negatives"),
        ({"loss": {"rkd": {"distance_weight": 0.0, "angle_weight": 0.0}}}, "nothing is compared"),
        ({"loss": "crd", "recipe": {"mixup": 0.2}}, "conditions.c.loss.crd: contrasts single"),
        ({"loss": "sp", "crd_weight": 1.0}, "crd_weight is that of contrastive distillation"),
        ({"loss": "sp", "sp_weight": 0.0, "ce_weight": 0.0}, "nothing is learned"),
        ({"loss": {"sp": {}, "standardise": True}}, "standardise is for a loss of logits"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told_before_anything_runs(tmp_path, change, words):
    with pytest.raises(UserError) as caught:
        study({"c": change}).prepare(tmp_path / "store", "cpu")
    assert words in str(caught.value)
