"""The engine without processes: one task after the other, here. For debugging and small tests."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tutelage.errors import StorageError, UserError
from tutelage.study.context import Context
from tutelage.study.engines.events import Agenda, Report
from tutelage.study.execute import BUSY, Lost, execute, prepare_process


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
    agenda = Agenda(needs, report)
    while (key := agenda.take()) is not None:
        try:
            status = execute(context, key, checkpoint_seconds)
        except StorageError:
            raise
        except Lost as loss:
            agenda.stall(key, str(loss))
            continue
        except Exception as error:  # as in a worker: one task's failure is not the study's
            told = isinstance(error, UserError)
            agenda.fail(key, str(error) if told else f"{type(error).__name__}: {error}")
            continue
        if status == BUSY:
            time.sleep(0.2)
            agenda.put_back(key, "waiting", "another process trains it")
        else:
            agenda.finish(key, status)
    return agenda
