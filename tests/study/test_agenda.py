"""The agenda of an engine: order, failure, repetition."""

from __future__ import annotations

from tutelage.study.engines.events import Agenda


def agenda(needs):
    events = []
    return Agenda(needs, events.append), events


NEEDS = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ()}


def test_a_task_comes_after_all_that_it_needs():
    plan, _ = agenda(NEEDS)
    order = []
    while (key := plan.take()) is not None:
        assert set(NEEDS[key]) <= set(order)
        order.append(key)
        plan.finish(key, "done")
    assert sorted(order) == sorted(NEEDS)
    assert plan.is_over


def test_what_most_others_wait_for_comes_first():
    plan, _ = agenda({"e": (), **NEEDS})
    assert plan.take() == "a"


def test_nothing_is_ready_while_its_need_runs():
    plan, _ = agenda({"a": (), "b": ("a",)})
    assert plan.take() == "a"
    assert plan.take() is None
    assert not plan.is_over


def test_a_failure_fails_all_that_rests_on_it_and_nothing_else():
    plan, events = agenda(NEEDS)
    plan.take()
    plan.fail("a", "broken")
    assert plan.failures == {
        "a": "broken",
        "b": "not run, because a failed",
        "c": "not run, because a failed",
        "d": "not run, because b failed",
    }
    assert plan.take() == "e"
    plan.finish("e", "done")
    assert plan.is_over
    assert [e.key for e in events if e.kind == "failed"] == ["a", "b", "d", "c"]


def test_a_task_that_is_put_back_comes_last():
    plan, _ = agenda({"a": (), "b": ()})
    first = plan.take()
    plan.put_back(first, "retried", "its process died")
    assert plan.take() != first
    assert plan.take() == first


def test_divergence_is_an_end_like_another():
    plan, events = agenda({"a": (), "b": ("a",)})
    plan.finish(plan.take(), "diverged")
    assert plan.take() == "b"
    assert [(e.kind, e.key) for e in events] == [("started", "a"), ("diverged", "a"),
                                                 ("started", "b")]  # fmt: skip


def test_what_stalls_takes_all_that_rests_on_it_along_and_fails_nothing():
    plan, events = agenda(NEEDS)
    plan.take()
    plan.stall("a", "its weights are gone")
    assert plan.stalled == {
        "a": "its weights are gone",
        "b": "not run, because a stalled",
        "c": "not run, because a stalled",
        "d": "not run, because b stalled",
    }
    assert plan.failures == {}
    assert plan.take() == "e"
    plan.finish("e", "done")
    assert plan.is_over
    assert [e.key for e in events if e.kind == "stalled"] == ["a", "b", "d", "c"]
