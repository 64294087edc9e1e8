"""The engine without processes: one task after the other, here. For debugging and small tests."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tutelage.errors import UserError
from tutelage.study.context import Context
from tutelage.study.engines.events import Agenda, Report
from tutelage.study.execute import BUSY, execute, prepare_process


def run_inline(
    context: Context,
    needs: Mapping[str, tuple[str, ...]],
    *,
    checkpoint_seconds: float,
    report: Report,
) -> dict[str, str]:
    """Execute all tasks in this process; return the failures by key."""
    prepare_process()
    agenda = Agenda(needs, report)
    while (key := agenda.take()) is not None:
        try:
            status = execute(context, key, checkpoint_seconds)
        except Exception as error:  # as in a worker: one task's failure is not the study's
            told = isinstance(error, UserError)
            agenda.fail(key, str(error) if told else f"{type(error).__name__}: {error}")
            continue
        if status == BUSY:
            time.sleep(0.2)
            agenda.put_back(key, "waiting", "another process trains it")
        else:
            agenda.finish(key, status)
    return agenda.failures
