"""The agenda of an engine: order, failure, repetition."""

from __future__ import annotations

from tutelage.study.engines.events import Agenda, Cohort


def agenda(needs):
    events = []
    return Agenda(needs, events.append), events


NEEDS = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ()}


def test_a_task_comes_after_all_that_it_needs():
    plan, _ = agenda(NEEDS)
    order = []
    while keys := plan.take():
        (key,) = keys
        assert set(NEEDS[key]) <= set(order)
        order.append(key)
        plan.finish(key, "done")
    assert sorted(order) == sorted(NEEDS)
    assert plan.is_over


def test_what_most_others_wait_for_comes_first():
    plan, _ = agenda({"e": (), **NEEDS})
    assert plan.take() == ["a"]


def test_nothing_is_ready_while_its_need_runs():
    plan, _ = agenda({"a": (), "b": ("a",)})
    assert plan.take() == ["a"]
    assert plan.take() == []
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
    assert plan.take() == ["e"]
    plan.finish("e", "done")
    assert plan.is_over
    assert [e.key for e in events if e.kind == "failed"] == ["a", "b", "d", "c"]


def test_a_task_that_is_put_back_comes_last():
    plan, _ = agenda({"a": (), "b": ()})
    (first,) = plan.take()
    plan.put_back(first, "retried", "its process died")
    assert plan.take() != [first]
    assert plan.take() == [first]


def test_divergence_is_an_end_like_another():
    plan, events = agenda({"a": (), "b": ("a",)})
    plan.finish(*plan.take(), "diverged")
    assert plan.take() == ["b"]
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
    assert plan.take() == ["e"]
    plan.finish("e", "done")
    assert plan.is_over
    assert [e.key for e in events if e.kind == "stalled"] == ["a", "b", "d", "c"]


def in_cohorts(most=3):
    """Tasks s0 to s6 are alike, t0 and t1 are not."""
    needs = {**{f"s{n}": () for n in range(7)}, "t0": (), "t1": ("s0",)}

    def cohort(key):
        return Cohort("s", most) if key[0] == "s" else Cohort(key)

    return Agenda(needs, lambda _: None, cohort)


def test_tasks_of_a_cohort_are_taken_together():
    plan = in_cohorts()
    taken = [plan.take() for _ in range(5)]
    assert taken[0] == ["s0", "s1", "s2"]  # s0 is waited for
    assert taken[1:] == [["s3", "s4", "s5"], ["s6"], ["t0"], []]
    assert len(plan.running) == 8


def test_a_task_that_is_to_be_alone_is():
    plan = in_cohorts()
    taken = [plan.take(alone={"s1"}) for _ in range(4)]
    assert ["s1"] in taken
    assert ["s0", "s2", "s3"] in taken


def test_members_of_a_cohort_end_one_by_one():
    plan = in_cohorts()
    first = plan.take()
    plan.note(first[0], "done")
    plan.note(first[1], "busy")
    plan.note(first[2], "failed", "broken")
    assert plan.over == {"s0"}
    assert plan.failures == {"s2": "broken"}
    assert first[1] in plan.waiting
    assert not plan.running


def test_a_cohort_that_cannot_grow_any_more_does_not_wait_until_it_is_full():
    needs = {"t0": (), "t1": (), "s0": ("t0",), "s1": ("t1",), "x0": (), "x1": ()}
    plan = Agenda(needs, lambda event: None, lambda key: Cohort(key[0], 4 if key[0] == "t" else 2))
    assert plan.take() == ["t0", "t1"]
    assert plan.take() == ["x0", "x1"]
    plan.finish("t0", "done")
    assert plan.take() == ["s0"]  # nothing else is ready


def test_those_of_one_length_go_together_and_the_rest_the_longest_first():
    needs = dict.fromkeys(("s1", "l1", "s2", "l2", "l3", "s3", "l4", "s4"), ())
    plan = Agenda(needs, lambda _: None, lambda key: Cohort("c", 3, 9 if key[0] == "l" else 4))
    assert plan.take() == ["s1", "s2", "s3"]
    assert plan.take() == ["l1", "l2", "l3"]
    assert plan.take() == ["l4", "s4"]
    assert plan.take() == []
