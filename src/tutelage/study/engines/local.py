"""The local engine: one single-thread process per core. A killed one costs only its own run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tutelage.errors import UserError
from tutelage.study.engines.events import Agenda, Cohort, Report
from tutelage.study.engines.pool import Pool

_TRIES = 3
_MOST_DEATHS = 32  # of tasks' processes, in a row: then it is not the tasks that kill them
_BUSY_PAUSE = 0.5  # seconds before a run that another process is training is asked for again


def run_tasks(
    needs: Mapping[str, tuple[str, ...]],
    store: Path,
    study: str,
    *,
    workers: int,
    checkpoint_seconds: float,
    report: Report,
    cohort: Callable[[str], Cohort] = Cohort,
) -> Agenda:
    """Execute all tasks of a study in `workers` processes; return the agenda, which is over.

    For `cohort` see Agenda.
    Each task starts after those it needs. A task whose process died is tried again, three times
    at most; it continues from its checkpoint. Raises UserError when workers cannot begin, and
    StorageError where the store cannot be read or written.
    """
    agenda = Agenda(needs, report, cohort)
    pool = Pool(store, study, checkpoint_seconds, min(workers, max(1, len(needs))))
    tries: dict[str, int] = {}
    resting: dict[str, float] = {}
    deaths = 0
    try:
        while not agenda.is_over:
            for worker in pool.idle():
                keys = _next(agenda, resting, tries)
                if not keys:
                    break
                worker.give(keys)
            for key, answer in pool.wait(_BUSY_PAUSE):
                if answer is not None:
                    deaths = 0
                    if answer["status"] == "busy":
                        resting[key] = time.monotonic() + _BUSY_PAUSE
                    agenda.note(key, answer["status"], answer["message"])
                    continue
                deaths += 1
                if deaths >= _MOST_DEATHS:
                    what = f"the worker processes keep dying; the last words: {pool.last_words()}"
                    raise UserError(what, where=str(pool.log))
                tries[key] = tries.get(key, 0) + 1
                if tries[key] < _TRIES:
                    agenda.put_back(key, "retried", "its process died")
                else:
                    agenda.fail(key, f"its process died {_TRIES} times; see {pool.log}")
    finally:
        pool.close()
    return agenda


def _next(agenda: Agenda, resting: dict[str, float], tries: dict[str, int]) -> list[str]:
    """Ready tasks that are not resting because another process is on them.

    One whose process died is tried again alone, so that it takes no others with it.
    """
    now = time.monotonic()
    asleep = [key for key in agenda.waiting if resting.get(key, 0.0) > now]
    for key in asleep:
        agenda.waiting.remove(key)
    try:
        return agenda.take(alone=tries)
    finally:
        agenda.waiting.extend(asleep)
