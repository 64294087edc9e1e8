"""A worker process: takes keys of tasks from its standard input, answers with their outcomes.

Run as `python -m tutelage.study.engines.worker STORE STUDY SECONDS`. It ends when its standard
input closes, which is also what happens when the process that started it dies.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import TextIO

from tutelage.errors import UserError


def main(store: str, study: str, checkpoint_seconds: str) -> None:
    """Serve until standard input closes."""
    answers = _claim_stdout()
    from tutelage.store import Store
    from tutelage.study.context import Context
    from tutelage.study.execute import execute, prepare_process
    from tutelage.training.run import Stopped

    prepare_process()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    context = Context.open(Store.open(store, create=False), study)
    for line in _lines(sys.stdin):
        key = json.loads(line)["key"]
        try:
            status = execute(context, key, float(checkpoint_seconds), stop.is_set)
            answer = {"status": status}
        except Stopped:
            return
        except UserError as error:
            answer = {"status": "failed", "message": str(error)}
        except Exception as error:  # one task's failure is not the worker's
            traceback.print_exc()
            answer = {"status": "failed", "message": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps({"key": key, **answer}) + "\n")
        answers.flush()
        if stop.is_set():
            return


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
