"""Progress where there is no terminal: plain lines, rare, and true."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tutelage.cli import progress
from tutelage.cli.progress import StudyProgress
from tutelage.study.engines.events import Event


@pytest.fixture
def clock(monkeypatch):
    """The time that the progress sees, in seconds; a list of one."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def watched(clock):
    """Progress on three tasks of unlike size, and what it prints."""
    printed = io.StringIO()
    console = Console(file=printed, width=200, force_terminal=False)
    return StudyProgress({"a": 1.0, "b": 1.0, "c": 2.0}, console), printed


def test_lines_come_rarely_and_count_what_is_done_running_and_waiting(watched, clock):
    tell, printed = watched
    with tell:
        tell(Event("started", "a"))
        clock[0] += 5
        tell(Event("done", "a"))
        tell(Event("started", "b"))
        assert printed.getvalue() == ""
        clock[0] += 7
        tell(Event("done", "b"))
        tell(Event("started", "c"))
        # Half of the work took 12 seconds.
        expected = "2 of 3 tasks done, 1 running, 0 to go; 0:12 spent, 0:12 left\n"
        assert printed.getvalue() == expected
        clock[0] += 3600
        tell(Event("done", "c"))
    last = "3 of 3 tasks done, 0 running, 0 to go; 1:00:12 spent, 0:00 left\n"
    assert printed.getvalue() == expected + last


def test_trouble_is_told_at_once(watched):
    tell, printed = watched
    tell(Event("started", "a"))
    tell(Event("failed", "a", "no [bold]reason[/bold]"))
    tell(Event("started", "b"))
    tell(Event("retried", "b", "its process died"))
    tell(Event("waiting", "c", "another process trains it"))
    assert printed.getvalue().splitlines() == [
        "a: failed no [bold]reason[/bold]",
        "b: retried its process died",
    ]
    assert (tell.finished, tell.running, tell.troubled) == ({"a"}, set(), 2)


def test_a_study_with_nothing_to_do(clock):
    printed = io.StringIO()
    with StudyProgress({}, Console(file=printed, force_terminal=False)):
        pass
    assert printed.getvalue() == ""


def test_a_terminal_shows_a_bar_and_clears_it(clock):
    printed = io.StringIO()
    console = Console(file=printed, force_terminal=True, width=120)
    with StudyProgress({"a": 1.0}, console) as tell:
        tell(Event("started", "a"))
        clock[0] += 1
        tell(Event("done", "a"))
    assert "training" in printed.getvalue()


def test_better_shares_change_what_is_left(watched, clock):
    tell, printed = watched
    tell(Event("started", "a"))
    clock[0] += 12
    tell(Event("done", "a"))
    tell.weigh({"a": 3.0, "b": 6.0, "c": 3.0, "lost": 12.0})
    tell(Event("started", "b"))
    tell(Event("started", "lost"))  # it was not among the tasks
    clock[0] += 12
    tell(Event("started", "c"))
    lines = printed.getvalue().splitlines()
    assert lines[0] == "1 of 3 tasks done, 1 running, 1 to go; 0:12 spent, 0:36 left"
    assert lines[-1] == "1 of 4 tasks done, 3 running, 0 to go; 0:24 spent, 2:48 left"
