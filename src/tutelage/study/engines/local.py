"""The local engine: one single-thread process per core. A killed one costs only its own run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tutelage.errors import UserError
from tutelage.study.engines.events import Agenda, Report
from tutelage.study.engines.pool import Answer, Pool

_TRIES = 3
_MOST_DEATHS = 12  # in a row, of any workers: then it is not the tasks that kill them
_BUSY_PAUSE = 0.5  # seconds before a run that another process is training is asked for again


def run_tasks(
    needs: Mapping[str, tuple[str, ...]],
    store: Path,
    study: str,
    *,
    workers: int,
    checkpoint_seconds: float,
    report: Report,
) -> Agenda:
    """Execute all tasks of a study in `workers` processes; return the agenda, which is over.

    Each task starts after those it needs. A task whose process died is tried again, three times
    at most; it continues from its checkpoint. Raises UserError when workers cannot begin, and
    StorageError where the store cannot be read or written.
    """
    agenda = Agenda(needs, report)
    pool = Pool(store, study, checkpoint_seconds, min(workers, max(1, len(needs))))
    tries: dict[str, int] = {}
    resting: dict[str, float] = {}
    deaths = 0
    try:
        while not agenda.is_over:
            for worker in pool.idle():
                key = _next(agenda, resting)
                if key is None:
                    break
                worker.give(key)
            for key, answer in pool.wait(_BUSY_PAUSE):
                deaths = deaths + 1 if answer is None else 0
                if deaths >= _MOST_DEATHS:
                    what = f"the worker processes keep dying; the last words: {pool.last_words()}"
                    raise UserError(what, where=str(pool.log))
                if answer is None:
                    tries[key] = tries.get(key, 0) + 1
                    if tries[key] < _TRIES:
                        agenda.put_back(key, "retried", "its process died")
                    else:
                        agenda.fail(key, f"its process died {_TRIES} times; see {pool.log}")
                    continue
                if answer["status"] == "busy":
                    resting[key] = time.monotonic() + _BUSY_PAUSE
                _note(agenda, key, answer)
    finally:
        pool.close()
    return agenda


def _note(agenda: Agenda, key: str, answer: Answer) -> None:
    """Enters what a worker answered."""
    status = answer["status"]
    if status == "busy":
        agenda.put_back(key, "waiting", "another process trains it")
    elif status == "stalled":
        agenda.stall(key, answer["message"])
    elif status == "failed":
        agenda.fail(key, answer["message"])
    else:
        agenda.finish(key, status)


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
