"""Every loss trains a student by its name, in one fused network or by itself."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.api import Study
from tutelage.config.schema_losses import METHODS

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
