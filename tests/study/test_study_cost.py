"""Predicted costs: paces measured once, and what they add up to."""

from __future__ import annotations

import json

import pytest

from tutelage.api import Study
from tutelage.data.parts import without_part
from tutelage.study import cost, timing
from tutelage.study.cost import predict
from tutelage.study.pace import Pace, Paces


@pytest.fixture
def paces(monkeypatch):
    """What is measured, without measuring: a step of 1 ms, an image of 10 us."""
    measured = []

    def measure(start, shape, classes):
        measured.append((start.model, tuple(shape)))
        return Pace(step=1e-3, image=1e-5)

    monkeypatch.setattr(timing, "timed", measure)
    return measured


def prepared(parts, tmp_path, **recipe):
    parts["recipe"] |= recipe
    return Study(**parts).prepare(tmp_path / "store", device="cpu")


def test_each_network_is_timed_once_and_remembered(parts, tmp_path, paces):
    context = prepared(parts, tmp_path)
    first = predict(context)
    assert sorted(paces) == [("plain-4-4", (8, 8, 1)), ("plain-8-8", (8, 8, 1))]
    assert predict(context) == first
    assert len(paces) == 2
    (path,) = (context.store.root / "cache" / "pace").iterdir()
    path.write_text("{")
    assert predict(context) == first  # what is damaged is timed again
    assert len(paces) == 4
    assert len(json.loads(path.read_text())) == 2


def test_a_run_costs_its_steps_its_evaluations_and_what_it_hears(parts, tmp_path, paces):
    parts["teachers"] = {"large": {"model": "plain-32-32"}}
    parts["conditions"] = {"kd": {"teacher": "large", "student": {"model": "plain-20-20"}}}
    parts["claims"] = {}
    context = prepared(parts, tmp_path, epochs=20)
    found = {key: seconds / cost._CONTENTION for key, seconds in predict(context).items()}
    steps, data = 20 * 4, context.manifest["data"]
    evaluated = 20 * 50 + 100 + 50 + data["test"]
    alone = 0.15 + steps * (1e-3 + 25 * 64 * 1.5e-9) + evaluated * 1e-5
    assert found["r0/teacher/large"] == pytest.approx(alone)
    # Nine views of 100 images, looked up in a table by one student.
    assert found["r0/kd/s0"] == pytest.approx(alone + 900e-5)


def test_shared_epochs_cost_nothing_and_groups_share_their_steps(parts, tmp_path, paces):
    context = prepared(parts, tmp_path, epochs=40)
    found = predict(context)
    assert found["r0/eskd/s0"] < found["r0/kd/large/s0"]
    cohorts = {key: context.plan.cohort(key) for key in context.plan.nodes}
    assert {cohort.most for cohort in cohorts.values()} == {8}
    assert cohorts["r0/teacher/small"] == cohorts["r1/kd/early/s0"]
    assert cohorts["r0/teacher/small"].name != cohorts["r0/teacher/large"].name
    assert cohorts["r0/eskd/s0"].name == cohorts["r0/kd/large/s0"].name
    assert (cohorts["r0/eskd/s0"].length, cohorts["r0/kd/large/s0"].length) == (20, 40)


def test_a_network_without_a_part_costs_the_steps_of_the_rest(parts, tmp_path, paces):
    parts["teachers"] = {"large": {"model": "plain-32-32", "cross_fit": 3}}
    parts["conditions"], parts["claims"] = {"kd": {"teacher": "large"}}, {}
    parts["recipe"]["batch_size"] = 22
    context = prepared(parts, tmp_path)
    found = {key: seconds / cost._CONTENTION for key, seconds in predict(context).items()}
    step, evaluated = 1e-3 + 22 * 64 * 1.5e-9, 4 * 50 + 100 + 50 + context.manifest["data"]["test"]
    for part in range(3):
        left = len(without_part(context.world(0), part, 3).train)  # 66 or 67: three batches
        expected = 0.15 + 4 * (left // 22) * step + evaluated * 1e-5
        assert found[f"r0/teacher/large#{part + 1}of3"] == pytest.approx(expected)
        node = context.node(f"r0/teacher/large#{part + 1}of3")
        assert context.trained_count(node.training) == (left, 0)
    sizes = {len(without_part(context.world(0), part, 3).train) for part in range(3)}
    assert sizes == {66, 67}


def test_real_paces_are_sane(parts, tmp_path):
    context = prepared(parts, tmp_path)
    node = context.node("r0/teacher/large")
    found = Paces(context.store).of(node.start, (8, 8, 1), 10)
    assert 1e-5 < found.image * 256 < found.step < 1.0
