"""What an engine reports while it works, and the bookkeeping that every engine shares."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True)
class Event:
    """Something happened to a task: `started`, `done`, `diverged`, `failed`, `retried`, `waiting`.

    Or `stalled`: something stored that it rests on is gone, and is computed again first.
    `message` says why, where there is a why.
    """

    kind: str
    key: str
    message: str = ""


Report = Callable[[Event], None]


class Cohort(NamedTuple):
    """Tasks of one name can be done together, `most` of them at a time.

    `length` says how long one takes, in any unit: those of one length are best done together, for
    the place of one that ends earlier stays empty.
    """

    name: str
    most: int = 1
    length: int = 0


@dataclass
class Agenda:
    """Which tasks are ready, running or over. `needs` maps each task to those before it; `cohort`
    gives the cohort that a task belongs to.

    A task whose needs failed is failed in turn, and likewise with those that stalled; one that
    diverged counts as over, because those after it find out for themselves.
    """

    needs: Mapping[str, tuple[str, ...]]
    report: Report
    cohort: Callable[[str], Cohort] = Cohort
    over: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    stalled: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        followers: dict[str, int] = dict.fromkeys(self.needs, 0)
        for needed in self.needs.values():
            for key in needed:
                followers[key] += 1
        # Those that most others wait for come first; the order never changes a result.
        self.waiting = sorted(self.needs, key=lambda key: -followers[key])

    def take(self, alone: Container[str] = ()) -> list[str]:
        """Ready tasks to be done together, now running; empty when there are none at the moment.

        They are of one cohort, and as many of it as may be, all of one length or the longest there
        are. While more of the cohort can become ready, fewer wait until nothing else is ready.
        Those of `alone` come by themselves.
        """
        ready: dict[Cohort, list[str]] = {}
        growing = set[str]()
        for key in self.waiting:
            cohort = Cohort(key) if key in alone else self.cohort(key)
            if all(need in self.over for need in self.needs[key]):
                ready.setdefault(cohort, []).append(key)
            else:
                growing.add(cohort.name)
        for cohort, keys in ready.items():
            if len(keys) >= cohort.most:
                return self._start(keys[: cohort.most])
            if cohort.name not in growing:
                return self._start(_longest(ready, cohort))
        return self._start(_longest(ready, next(iter(ready)))) if ready else []

    def _start(self, keys: list[str]) -> list[str]:
        for key in keys:
            self.waiting.remove(key)
            self.running.add(key)
            self.report(Event("started", key))
        return keys

    def note(self, key: str, status: str, message: str = "") -> None:
        """Enters how a task ended: with one of the statuses of `study.execute.Outcome`."""
        if status == "busy":
            self.put_back(key, "waiting", "another process trains it")
        elif status == "stalled":
            self.stall(key, message)
        elif status == "failed":
            self.fail(key, message)
        else:
            self.finish(key, status)

    def finish(self, key: str, status: str) -> None:
        """`key` ended with `done` or `diverged`."""
        self.running.discard(key)
        self.over.add(key)
        self.report(Event(status, key))

    def put_back(self, key: str, kind: str, message: str = "") -> None:
        """`key` is to be tried again, after the others."""
        self.running.discard(key)
        self.waiting.append(key)
        self.report(Event(kind, key, message))

    def fail(self, key: str, message: str) -> None:
        """`key` failed, and with it all that needs it."""
        self.failures[key] = message
        self._drop(key, "failed", message, self.fail)

    def stall(self, key: str, message: str) -> None:
        """`key` stalled, and with it all that needs it: another agenda has to begin earlier."""
        self.stalled[key] = message
        self._drop(key, "stalled", message, self.stall)

    def _drop(self, key: str, kind: str, message: str, drop: Callable[[str, str], None]) -> None:
        self.running.discard(key)
        self.report(Event(kind, key, message))
        for other in [other for other in self.waiting if key in self.needs[other]]:
            if other in self.waiting:
                self.waiting.remove(other)
                drop(other, f"not run, because {key} {kind}")

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return not self.waiting and not self.running


def _longest(ready: dict[Cohort, list[str]], like: Cohort) -> list[str]:
    """As many tasks as may be done together with those of a cohort, the longest first."""
    alike = [cohort for cohort in ready if cohort.name == like.name]
    alike.sort(key=lambda cohort: -cohort.length)
    return [key for cohort in alike for key in ready[cohort]][: like.most]
