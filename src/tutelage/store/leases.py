"""Locks between processes, and between threads, that end with the process that holds them.

leases/<name>.lock

The lock is the operating system's, on an open file; the file itself stays and means nothing. Take
it in the process that does the work: a process forked while the lock is held keeps it alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tutelage.store.files import make_folder, told


@contextmanager
def hold(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock on `path` inside the `with`; the value says whether it is held.

    With `wait`, wait for it as long as it takes; else give up at once when it is taken. It is not
    re-entrant: whoever holds it and waits for it again waits for ever.
    """
    make_folder(path.parent)
    lock = FileLock(path, timeout=-1 if wait else 0, thread_local=False)
    with told(path, "locked"), suppress(Timeout):
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()
