"""A worker process: takes keys of tasks from its standard input, answers with their outcomes.

Run as `python -m tutelage.study.engines.worker STORE STUDY SECONDS`. It ends when its standard
input closes, which is also what happens when the process that started it dies.

An answer is a line of JSON: {"key", "status", "message", "damaged"}, one for each task. Beside the
outcomes of `execute` its status is `refused` when the store cannot be read or written (with `where`
and `fix`), or `unable` when the worker cannot even begin. `damaged` are the warnings of files that
were found damaged.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from tutelage.errors import StorageError, UserError
from tutelage.store import DamageWarning, Store


def main(store: str, study: str, checkpoint_seconds: str) -> None:
    """Serve until standard input closes."""
    answers = _claim_stdout()

    def answer(**parts: Any) -> None:
        answers.write(json.dumps(parts) + "\n")
        answers.flush()

    try:
        from tutelage.study.context import Context
        from tutelage.study.execute import Outcome, execute
        from tutelage.study.process import prepare_process
        from tutelage.training.loop import Stopped

        prepare_process()
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        context = Context.open(Store.open(store, create=False), study)
    except Exception as error:
        answer(status="unable", message=_said(error))
        return
    damaged: list[str] = []
    _watch_damage(damaged)

    def report(key: str, outcome: Outcome) -> None:
        with contextlib.suppress(OSError):  # the log may be on a full disk
            sys.stderr.write(outcome.trace)
        answer(key=key, status=outcome.status, message=outcome.message, damaged=damaged)
        damaged.clear()

    for line in _lines(sys.stdin):
        try:
            execute(context, json.loads(line)["keys"], float(checkpoint_seconds), stop.is_set,
                    report)  # fmt: skip
        except Stopped:
            return
        except StorageError as error:
            answer(key="", status="refused", message=error.what, where=error.where, fix=error.fix,
                   damaged=damaged)  # fmt: skip
            damaged.clear()
        if stop.is_set():
            return


def _said(error: Exception) -> str:
    """What to tell of an error; unless it explains itself, its traceback goes to the log."""
    if isinstance(error, UserError):
        return str(error)
    with contextlib.suppress(OSError):  # the log may be on a full disk
        traceback.print_exc()
    return f"{type(error).__name__}: {error}"


def _watch_damage(damaged: list[str]) -> None:
    """From now on collects the texts of DamageWarnings; other warnings go to the log."""
    show = warnings.showwarning

    def note(message: Warning | str, category: type[Warning], *more: Any, **keys: Any) -> None:
        if issubclass(category, DamageWarning):
            damaged.append(str(message))
        show(message, category, *more, **keys)

    warnings.showwarning = note
    warnings.simplefilter("always", DamageWarning)


def _claim_stdout() -> TextIO:
    """The real standard output for answers alone; whatever else is printed goes to the log."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _lines(stream: TextIO) -> Iterator[str]:
    """The lines of `stream`, read on another thread that ends the process when it closes."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in stream:
            lines.put(line)
        # Whoever wanted the result is gone. Checkpoints are atomic, so nothing is half written.
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield lines.get()


if __name__ == "__main__":
    main(*sys.argv[1:])
