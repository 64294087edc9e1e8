"""Live progress of a study: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tutelage.study.engines.events import Event

_LINE_EVERY = 10.0  # seconds between plain lines


class StudyProgress:
    """Counts done, running and waiting tasks, and estimates the time left.

    `work` maps each task to its expected share of the whole, in any unit: the time left is what
    remains of it at the pace seen so far. A task of which it says nothing may begin nevertheless,
    where something stored was lost meanwhile.
    """

    def __init__(self, work: Mapping[str, float], console: Console) -> None:
        self.work, self.console = dict(work), console
        self._shares: Mapping[str, float] = {}
        self.finished: set[str] = set()
        self.running: set[str] = set()
        self.troubled = 0
        self.began = self.last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("training", total=self._total, facts="")

    def __enter__(self) -> StudyProgress:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self._bar.stop()

    def weigh(self, shares: Mapping[str, float]) -> None:
        """Takes note of better shares, of any tasks."""
        self._shares = shares
        self.work = {key: shares.get(key, share) for key, share in self.work.items()}

    def __call__(self, event: Event) -> None:
        """Takes note of an event."""
        if event.kind == "started":
            self.running.add(event.key)
            self.work.setdefault(event.key, self._shares.get(event.key, 0.0))
        else:
            self.running.discard(event.key)
        if event.kind in ("done", "diverged", "failed"):
            self.finished.add(event.key)
        if event.kind in ("diverged", "failed", "retried", "stalled"):
            self.troubled += 1
            self.console.print(f"{event.key}: {event.kind} {event.message}".rstrip(), markup=False)
        self._show(event)

    def _show(self, event: Event) -> None:
        done = sum(self.work[key] for key in self.finished)
        if self.console.is_terminal:
            facts = self._facts(done)
            self._bar.update(self._task, completed=done, total=self._total, facts=facts)
            return
        now, over = time.monotonic(), len(self.finished) == len(self.work)
        # Between the end of one task and the start of the next a worker only seems idle.
        due = now - self.last_line >= _LINE_EVERY and event.kind == "started"
        if due or over:
            self.last_line = now
            self.console.print(self._facts(done), highlight=False)

    @property
    def _total(self) -> float:
        return sum(self.work.values()) or 1.0

    def _facts(self, done: float) -> str:
        spent = time.monotonic() - self.began
        waiting = len(self.work) - len(self.finished) - len(self.running)
        left = f"{_clock(spent * (self._total - done) / done)} left" if done else "..."
        return (
            f"{len(self.finished)} of {len(self.work)} tasks done, {len(self.running)} running, "
            f"{waiting} to go; {_clock(spent)} spent, {left}"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
