"""Students whose own training decides how long they are taught."""

from __future__ import annotations

import pytest

from tutelage.api import Study
from tutelage.study import execute
from tutelage.training.loop import Stopped, train

GRADIENTS = {"adaptive": "gradients", "earliest": 2, "patience": 2, "threshold": 0.3}
VALIDATION = {"adaptive": "validation", "earliest": 0, "patience": 2, "threshold": -1.0}


def study(student="plain-8-8", conditions=None, **changes):
    parts = {
        "name": "adaptive",
        "data": {"source": "digits", "train": 200, "validation": 100, "test": 200,
                 "label_noise": 0.3, "views": "shift-1"},
        "recipe": {"epochs": 12, "batch_size": 25, "schedule": {"steps": [0.3, 0.6]}},
        "student": {"model": student},
        "teachers": {"t": {"model": "plain-16-16"}},
        "conditions": conditions or {
            "kd": {"teacher": "t"},
            "gradients": {"teacher": "t", "distill_until": GRADIENTS},
            "validation": {"teacher": "t", "distill_until": VALIDATION},
        },
        "replicates": {"count": 1, "students": 2},
    }  # fmt: skip
    return Study(**(parts | changes))


def students(result):
    return {row["key"]: row for row in result.runs if row["role"] == "student"}


@pytest.mark.parametrize("student", ["plain-8-8", "plain-20-20"])  # fused, and by itself
def test_who_stops_is_who_was_told_to_stop_then(tmp_path, student):
    store = tmp_path / "store"
    found = study(student).run(store, workers=0, device="cpu")
    rows, stops = students(found), {}
    for key, row in rows.items():
        taught = [line["kd"] is not None for line in row["history"]]
        stop = row["taught_epochs"]
        condition = row["condition"]
        assert taught == [condition != "scratch" and epoch < stop for epoch in range(12)]
        measured = ["gradient_cosine" in line for line in row["history"]]
        assert measured == [condition == "gradients" and 2 <= epoch < stop for epoch in range(12)]
        if condition in ("gradients", "validation"):
            stops[key] = stop
    assert all(stop >= 4 for stop in stops.values())
    assert any(stop < 12 for stop in stops.values()), stops
    # The same students, told beforehand.
    told = {f"told-{stop}": {"teacher": "t", "distill_until": stop} for stop in
            {*stops.values()}}  # fmt: skip
    again = students(study(student, told).run(store, workers=0, device="cpu"))
    for key, stop in stops.items():
        seed = key.rpartition("/")[2]
        assert again[f"r0/told-{stop}/{seed}"]["digest"] == rows[key]["digest"]


def test_the_first_epochs_are_shared_with_a_student_that_is_always_taught(tmp_path):
    rows = students(study().run(tmp_path / "store", workers=0, device="cpu"))
    assert rows["r0/gradients/s0"]["shared_epochs"] == 2
    assert rows["r0/gradients/s0"]["continues"] == "r0/kd/s0"


@pytest.mark.parametrize("epoch", [3, 5, 8])
def test_a_resumed_student_stops_where_it_would_have(tmp_path, monkeypatch, epoch):
    conditions = {"gradients": {"teacher": "t", "distill_until": GRADIENTS | {"threshold": 0.4}}}
    whole = study(conditions=conditions).run(tmp_path / "whole", workers=0, device="cpu")

    def interrupted(runs, **options):
        seen = []
        options["stop"] = lambda: len(seen) >= epoch or bool(seen.append(1))
        train(runs, **options)

    with monkeypatch.context() as patch:
        patch.setattr(execute, "train", interrupted)
        with pytest.raises(Stopped):
            study(conditions=conditions).run(tmp_path / "cut", workers=0, device="cpu")
    rest = study(conditions=conditions).run(tmp_path / "cut", workers=0, device="cpu")
    ours, theirs = students(whole), students(rest)
    assert {k: (r["digest"], r["taught_epochs"]) for k, r in ours.items()} == {
        k: (r["digest"], r["taught_epochs"]) for k, r in theirs.items()
    }
