"""A study that is extended after its finding was seen, and what the later finding says of that."""

from __future__ import annotations

import pytest
import torch

from tutelage import run_until_decided
from tutelage.api import Study, StudyResult, open_result
from tutelage.study.engines.events import Event


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


CLAIM = {"difference": ["more", "scratch"], "direction": "less", "margin": 0.01}


def study(count=2, smoothing=0.1, claim=CLAIM, name="grown", more=None, **replicates) -> Study:
    return Study(
        name=name,
        data={"source": "digits", "train": 50, "validation": 50, "test": 100},
        recipe={"epochs": 1, "batch_size": 25, "optimizer": {"sgd": {"lr": 0.1}}},
        student={"model": "plain-4-4"},
        conditions={"scratch": {}, "more": {"recipe": {"label_smoothing": smoothing}},
                    **(more or {})},
        replicates={"count": count, "students": 1, **replicates},
        claims={"primary": {"helps": claim}},
    )  # fmt: skip


def run(each: Study, store, **options) -> StudyResult:
    return each.run(store, workers=0, device="cpu", **options)


def before(result: StudyResult) -> list:
    return result.document["study"]["judged_before"]


def test_replicates_added_after_a_finding_are_told(tmp_path) -> None:
    assert before(run(study(2), tmp_path)) == []
    grown = run(study(3), tmp_path)
    assert before(grown) == [{"looks": None, "replicates": [2], "claims": ["helps"]}]
    assert grown.findings[0]["sentence"].endswith(
        "It was judged before, with 2 replicates as if these were all: a verdict that may come of "
        "any of these 2 ways is false in up to 10 %, not 5 %."
    )
    again = run(study(4), tmp_path)
    assert [way["replicates"] for way in before(again)] == [[2], [3]]
    assert "any of these 3 ways is false in up to 15 %" in again.findings[0]["sentence"]


def test_the_first_finding_stays_as_it_was(tmp_path) -> None:
    first = run(study(2), tmp_path)
    run(study(3), tmp_path)
    assert run(study(2), tmp_path).findings == first.findings
    assert open_result(first.context.id, tmp_path).findings == first.findings


def test_declared_looks_are_one_way_and_looks_beyond_them_another(tmp_path) -> None:
    options = {"store": tmp_path, "workers": 0, "device": "cpu"}
    within = run_until_decided(study(2), 3, looks=2, **options)
    assert before(within.result) == []
    beyond = run_until_decided(study(2), 4, looks=2, **options)
    assert before(beyond.result) == [{"looks": [2, 3], "replicates": [2, 3], "claims": ["helps"]}]
    said = "after 2, 3 replicates of looks declared at 2, 3: a verdict"
    assert said in beyond.finding["sentence"]
    assert "10 %" in beyond.finding["sentence"]
    # The interval of a plain run of as many replicates is no fresh start either.
    plain = run(study(4), tmp_path)
    assert [way["looks"] for way in before(plain)] == [[2, 3], [2, 4]]
    assert plain.findings[0]["level"] == 0.95
    assert "15 %" in plain.findings[0]["sentence"]


def test_open_looks_are_one_way_however_far_they_go(tmp_path) -> None:
    options = {"store": tmp_path, "workers": 0, "device": "cpu"}
    run_until_decided(study(2), 3, looks="open", **options)
    further = run_until_decided(study(2), 4, looks="open", **options)
    assert before(further.result) == []
    plain = run(study(4, name="other-name"), tmp_path)
    assert "at open looks up to 4 replicates" in plain.findings[0]["sentence"]


@pytest.mark.parametrize(
    "other",
    [
        {"smoothing": 0.2},
        {"claim": {**CLAIM, "margin": 0.02}},
        {"claim": {**CLAIM, "metric": "test_nll"}},
        {"vary": ["teacher"]},
    ],
)
def test_another_question_is_no_look_at_this_one(tmp_path, other) -> None:
    run(study(2, **other), tmp_path)
    assert before(run(study(3), tmp_path)) == []


def test_a_condition_more_does_not_hide_a_look(tmp_path) -> None:
    run(study(2), tmp_path)
    more = {"third": {"recipe": {"label_smoothing": 0.3}}}
    assert [way["replicates"] for way in before(run(study(3, more=more), tmp_path))] == [[2]]


def test_what_never_came_to_its_end_was_not_judged(tmp_path) -> None:
    def stop(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(study(2), tmp_path, on_event=stop)
    assert before(run(study(3), tmp_path)) == []
