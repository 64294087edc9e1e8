"""A pool of worker processes, each replaced when it dies."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from tutelage.errors import StorageError, UserError
from tutelage.store import DamageWarning
from tutelage.store.files import told

_GRACE = 10.0  # seconds for workers to write a checkpoint when the study is interrupted

Answer = dict[str, Any]  # see tutelage.study.engines.worker


class _Worker:
    """A worker process and the tasks it is on."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self.tasks: set[str] = set()
        self._heard = b""
        with contextlib.ExitStack() as files:
            with told(log, "written"):
                errors = files.enter_context(log.open("ab"))
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=environment,
                    start_new_session=True,  # an interrupt is for us to pass on
                )
            except OSError as error:
                what = f"a worker process cannot be started: {error.strerror}."
                raise UserError(what, fix="Take fewer --workers.") from error

    def give(self, keys: list[str]) -> None:
        self.tasks = set(keys)
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died, and its closed output will tell
            self.process.stdin.write(json.dumps({"keys": keys}).encode() + b"\n")
            self.process.stdin.flush()

    def answers(self) -> list[Answer] | None:
        """The outcomes of its tasks that have come, or None when the process died."""
        assert self.process.stdout is not None
        heard = os.read(self.process.stdout.fileno(), 1 << 16)
        *lines, self._heard = (self._heard + heard).split(b"\n")
        return [json.loads(line) for line in lines] if heard else None


class Pool:
    """`size` workers on one study; their standard error goes to `log`."""

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
        return [worker for worker in self._workers if not worker.tasks]

    def wait(self, seconds: float) -> list[tuple[str, Answer | None]]:
        """Outcomes that came within `seconds`: (task, answer), the answer None after a death.

        What the workers found damaged is told by warnings, as if it had been found here. Raises
        UserError when workers cannot begin, StorageError when they cannot read or write.
        """
        outcomes: list[tuple[str, Answer | None]] = []
        for ready, _ in self._selector.select(seconds):
            worker: _Worker = ready.data
            answers = worker.answers()
            if answers is None:
                outcomes += [(key, None) for key in sorted(worker.tasks)]
                self._discard(worker)
                continue
            for answer in answers:
                self._hear(answer)
                worker.tasks.discard(answer["key"])
                outcomes.append((answer["key"], answer))
        return outcomes

    def _hear(self, answer: Answer) -> None:
        for text in answer.get("damaged", ()):
            warnings.warn(text, DamageWarning, stacklevel=2)
        if answer["status"] == "refused":
            raise StorageError(answer["message"], where=answer["where"], fix=answer["fix"])
        if answer["status"] == "unable":
            what = f"the worker processes cannot begin: {answer['message']}"
            raise UserError(what, where=str(self.log))

    def last_words(self) -> str:
        """The last line that a worker wrote to the log."""
        with told(self.log, "read"):
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line for line in reversed(lines) if line.strip()), "none")

    def _discard(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.wait()

    def close(self) -> None:
        """Ends all workers. Those on a task first write a checkpoint of the epoch they are in."""
        busy = [worker for worker in self._workers if worker.tasks]
        for worker in busy:
            worker.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for worker in busy:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
        for worker in list(self._workers):
            self._discard(worker)
        self._selector.close()
