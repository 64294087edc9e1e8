"""The local engine: one single-thread process per core. A killed one costs only its own run."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tutelage.errors import UserError
from tutelage.study.engines.events import Agenda, Report

_TRIES = 3
_MOST_DEATHS = 12  # in a row, of any workers: then it is not the tasks that kill them
_BUSY_PAUSE = 0.5  # seconds before a run that another process is training is asked for again
_GRACE = 10.0  # seconds for workers to write a checkpoint when the study is interrupted


class _Worker:
    """A worker process and the task it is on."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self.task: str | None = None
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=True,
                start_new_session=True,  # an interrupt is for us to pass on
            )

    def give(self, key: str) -> None:
        self.task = key
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died, and its closed output will tell
            self.process.stdin.write(json.dumps({"key": key}) + "\n")
            self.process.stdin.flush()

    def answer(self) -> dict[str, str] | None:
        """The outcome of its task, or None when the process died."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None


def run_tasks(
    needs: Mapping[str, tuple[str, ...]],
    store: Path,
    study: str,
    *,
    workers: int,
    checkpoint_seconds: float,
    report: Report,
) -> dict[str, str]:
    """Execute all tasks of a study in `workers` processes; return the failures by key.

    Each task starts after those it needs. A task whose process died is tried again, three times
    at most; it continues from its checkpoint.
    """
    agenda = Agenda(needs, report)
    pool = _Pool(store, study, checkpoint_seconds, min(workers, max(1, len(needs))))
    tries: dict[str, int] = {}
    resting: dict[str, float] = {}
    deaths = 0
    try:
        while not agenda.is_over:
            for worker in pool.idle():
                key = _next(agenda, resting)
                if key is None:
                    break
                tries[key] = tries.get(key, 0)
                worker.give(key)
            for key, answer in pool.wait(_BUSY_PAUSE):
                deaths = deaths + 1 if answer is None else 0
                if deaths >= _MOST_DEATHS:
                    raise UserError("the worker processes keep dying.", where=str(pool.log))
                if answer is None:
                    tries[key] += 1
                    if tries[key] < _TRIES:
                        agenda.put_back(key, "retried", "its process died")
                    else:
                        agenda.fail(key, f"its process died {_TRIES} times; see {pool.log}")
                elif answer["status"] == "busy":
                    resting[key] = time.monotonic() + _BUSY_PAUSE
                    agenda.put_back(key, "waiting", "another process trains it")
                elif answer["status"] == "failed":
                    agenda.fail(key, answer["message"])
                else:
                    agenda.finish(key, answer["status"])
    finally:
        pool.close()
    return agenda.failures


def _next(agenda: Agenda, resting: dict[str, float]) -> str | None:
    """A ready task that is not resting because another process is on it."""
    now = time.monotonic()
    asleep = [key for key in agenda.waiting if resting.get(key, 0.0) > now]
    for key in asleep:
        agenda.waiting.remove(key)
    try:
        return agenda.take()
    finally:
        agenda.waiting.extend(asleep)


class _Pool:
    """The worker processes, each replaced when it dies."""

    def __init__(self, store: Path, study: str, checkpoint_seconds: float, size: int) -> None:
        self.log = store / "studies" / f"{study}.log"
        module = "tutelage.study.engines.worker"
        self._command = [sys.executable, "-m", module, str(store), study, str(checkpoint_seconds)]
        # Threads would only get in each other's way, and change the last bits of a sum.
        threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        self._environment = {**os.environ, **dict.fromkeys(threads, "1")}
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._size = size

    def idle(self) -> list[_Worker]:
        """Workers without a task; new ones are started up to the size of the pool."""
        while len(self._workers) < self._size:
            worker = _Worker(self._command, self.log, self._environment)
            assert worker.process.stdout is not None
            self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            self._workers.append(worker)
        return [worker for worker in self._workers if worker.task is None]

    def wait(self, seconds: float) -> list[tuple[str, dict[str, str] | None]]:
        """Outcomes that came within `seconds`: (task, answer), the answer None after a death."""
        outcomes = []
        for ready, _ in self._selector.select(seconds):
            worker: _Worker = ready.data
            answer, task = worker.answer(), worker.task
            worker.task = None
            if answer is None:
                self._discard(worker)
            if task is not None:
                outcomes.append((task, answer))
        return outcomes

    def _discard(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.wait()

    def close(self) -> None:
        """Ends all workers. Those on a task first write a checkpoint of the epoch they are in."""
        busy = [worker for worker in self._workers if worker.task is not None]
        for worker in busy:
            worker.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for worker in busy:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
        for worker in list(self._workers):
            self._discard(worker)
        self._selector.close()
