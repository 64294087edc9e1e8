"""Mimicry in a real study: the controls that it needs are measured and told."""

from __future__ import annotations

import pytest

from tutelage.api import Study
from tutelage.evaluation.mimicry import mimicry as measured
from tutelage.findings.mimics import METRIC
from tutelage.study.execute import reference_logits


def test_a_study_with_its_controls_tells_whether_the_student_follows(tmp_path):
    study = Study(
        name="mimicry",
        data={"source": "digits", "train": 200, "validation": 50, "test": 200, "views": "none"},
        recipe={"epochs": 4, "batch_size": 50},
        student={"model": "plain-4"},
        teachers={"large": {"model": "plain-16"}},
        conditions={
            "kd": {"teacher": "large"},
            "own": {"teacher": "large", "student": {"model": "plain-16"}},
            "long": {"teacher": "large", "recipe": {"epochs": 16}},
            "scratch": {},
            "twin": {"student": {"model": "plain-16"}},
        },
        replicates={"count": 2, "students": 1},
    )  # fmt: skip
    result = study.run(tmp_path / "s", workers=0, device="cpu")
    (told,) = result.document["mimicry"]
    assert told["sentence"] == "large"
    assert "another seed of large itself" in told["text"]
    twin = next(run for run in result.runs if run["key"] == "r0/twin/s0")
    context = result.context
    teacher = context.resolve(context.expanded.teachers["large"].reference, 0)
    goal = reference_logits(context, teacher, 0)
    record = context.evaluation(twin["model"], twin["digest"], 0)
    own = context.store.get_arrays(record.result["blobs"]["logits"])
    expected = measured(own["train"], goal["train"])[METRIC.removeprefix("train_")]
    assert twin["toward"]["large"][METRIC] == pytest.approx(expected)
    assert "toward" not in next(run for run in result.runs if run["key"] == "r0/scratch/s0")
    result.report(tmp_path / "report.html")
    assert "## Mimicry" in (tmp_path / "report.md").read_text()
    assert 'id="mimicry"' in (tmp_path / "report.html").read_text()
