"""Leases and locks between threads and processes, some of which are killed."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from tutelage.errors import UserError
from tutelage.store import Store

Start = Callable[..., subprocess.Popen[str]]

TAKE = """
import sys
from tutelage.store import Store
store = Store.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
with store.lease("work") as held:
    print(held, flush=True)
    sys.stdin.readline()
"""

COUNT = """
import sys
from tutelage.store import Store
store = Store.open(sys.argv[1])
for _ in range(25):
    with store.lock("count"):
        path = store.root / "count"
        number = int(path.read_text())
        path.write_text(str(number + 1))
"""


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_lease_is_held_once_and_given_back(store: Store):
    with store.lease("a") as held:
        assert held is True
        with store.lease("a") as again, store.lease("b") as other:
            assert again is False
            assert other is True
        with store.lease("a") as again:  # a failed attempt takes nothing away
            assert again is False
    with store.lease("a") as held:
        assert held is True


def test_a_lease_is_given_back_after_an_error(store: Store):
    def fail() -> None:
        with store.lease("a"):
            raise OSError("of the work itself, which is none of the store's")

    with pytest.raises(OSError, match="of the work itself"):
        fail()
    with store.lease("a") as held:
        assert held


def test_a_thread_does_not_get_what_another_holds(store: Store):
    found: list[bool] = []

    def ask() -> None:
        with store.lease("a") as held:
            found.append(held)

    with store.lease("a"):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert found == [False]


def test_a_lock_waits(store: Store):
    order: list[str] = []

    def wait() -> None:
        with store.lock("a") as held:
            order.append(f"second {held}")

    with store.lock("a"):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.15)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second True"]


def test_of_several_processes_that_race_one_gets_the_lease(store: Store, start: Start):
    processes = [start(TAKE, store.root) for _ in range(4)]
    assert {hear(process) for process in processes} == {"ready"}
    for process in processes:
        say(process)
    assert sorted(hear(process) for process in processes) == ["False"] * 3 + ["True"]
    with store.lease("work") as held:
        assert not held


def test_the_lease_of_a_killed_process_is_free(store: Store, start: Start):
    process = start(TAKE, store.root)
    assert hear(process) == "ready"
    say(process)
    assert hear(process) == "True"
    with store.lease("work") as held:
        assert not held
    process.kill()
    process.wait()
    with store.lease("work") as held:
        assert held


def test_a_lock_keeps_processes_apart(store: Store, start: Start):
    (store.root / "count").write_text("0")
    processes = [start(COUNT, store.root) for _ in range(3)]
    assert [process.wait(30) for process in processes] == [0, 0, 0]
    assert (store.root / "count").read_text() == "75"


def test_a_lock_that_cannot_be_made_is_told(store: Store):
    (store.root / "leases").write_text("a file")
    words = "leases: cannot be made: a part of this path is a file"
    with pytest.raises(UserError, match=words), store.lease("a"):
        pass
