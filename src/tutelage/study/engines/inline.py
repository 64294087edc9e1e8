"""The engine without processes: one task after the other, here. For debugging and small tests."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tutelage.study.context import Context
from tutelage.study.engines.events import Agenda, Report
from tutelage.study.execute import BUSY, Outcome, execute
from tutelage.study.process import prepare_process

_BUSY_PAUSE = 0.2  # seconds before a run that another process is training is asked for again


def run_inline(
    context: Context,
    needs: Mapping[str, tuple[str, ...]],
    *,
    checkpoint_seconds: float,
    report: Report,
) -> Agenda:
    """Execute all tasks in this process; return the agenda, which is over.

    Raises StorageError where the store cannot be read or written.
    """
    prepare_process()
    agenda = Agenda(needs, report, context.plan.cohort)
    while keys := agenda.take():
        busy = []

        def note(key: str, outcome: Outcome, busy: list[str] = busy) -> None:
            busy += [key] * (outcome.status == BUSY)
            agenda.note(key, outcome.status, outcome.message)

        execute(context, keys, checkpoint_seconds, report=note)
        if busy:
            time.sleep(_BUSY_PAUSE)
    return agenda
