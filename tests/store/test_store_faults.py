"""Processes are killed, disks are full: the store stays whole."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage.store import Record, Store

Start = Callable[..., subprocess.Popen[str]]

WRITE = """
import sys
import numpy as np
from tutelage.store import Record, Store
store, me = Store.open(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(me)
states = [{"x": rng.normal(size=100_000)} for _ in range(2)]
lists = [rng.normal(size=3_000).tolist() for _ in range(2)]
print("ready", flush=True)
while True:
    for state, numbers in zip(states, lists):
        for id in ("aa1", "bb2"):
            store.put_checkpoint(id, state, {"who": me})
            blobs = {"mine": store.put_arrays(state), "ours": store.put_arrays({"x": np.ones(9)})}
            store.put(Record("run", id, {"blobs": blobs, "list": numbers}, {"who": me}, {}))
"""


def test_writers_killed_at_any_moment_leave_a_whole_store(store: Store, start: Start):
    """Two processes write the same names; the store is whole while they do, and afterwards."""
    moments = random.Random(1)
    for number in range(3):
        writers = [start(WRITE, store.root, 2 * number + side) for side in range(2)]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            until = time.monotonic() + moments.uniform(0.1, 0.3)
            while time.monotonic() < until:
                assert store.verify() == []
            writer.kill()
            writer.wait()
        assert Store.open(store.root).verify() == []
    assert store.ids("run") == ["aa1", "bb2"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for id in store.ids("run"):
            record = store.get("run", id)
            assert record is not None
            assert len(record.result["list"]) == 3_000
            for digest in record.result["blobs"].values():
                assert store.get_arrays(digest) is not None
            assert store.get_checkpoint(id) is not None


DIE = """
import os, signal, sys
import numpy as np
from tutelage.store import Record, Store
store, count = Store.open(sys.argv[1]), int(sys.argv[2])
fsync, calls = os.fsync, []

def deadly(handle):
    calls.append(handle)
    if len(calls) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)

os.fsync = deadly
blobs = {"x": store.put_arrays({"x": np.arange(5)})}
store.put_checkpoint("s1", {}, {"epoch": 2})
store.put(Record("run", "a1", {"blobs": blobs, "new": True}, {}, {}))
"""


@pytest.mark.parametrize("write", [1, 2, 3])
def test_killed_in_the_middle_of_each_write(store: Store, start: Start, write: int):
    """Before the new file has its name, the old one is there; nothing names what is not there."""
    store.put_checkpoint("s1", {}, {"epoch": 1})
    store.put(Record("run", "a1", {"new": False}, {}, {}))
    process = start(DIE, store.root, 2 * write - 1)  # a write syncs its file, then the folder
    assert process.wait(30) == -signal.SIGKILL
    assert len(list(store.root.rglob("*.tmp"))) == 1
    assert Store.open(store.root).verify() == []
    record, checkpoint = store.get("run", "a1"), store.get_checkpoint("s1")
    assert record is not None
    assert record.result == {"new": False}
    assert checkpoint == ({}, {"epoch": 2 if write > 2 else 1})
    assert len(list((store.root / "blobs").rglob("*.safetensors"))) == (1 if write > 1 else 0)


FILL = """
import os, subprocess, sys
import numpy as np
from pathlib import Path
from tutelage.errors import UserError
from tutelage.store import Record, Store

def refused(write):
    try:
        write()
    except UserError as error:
        return str(error)
    raise AssertionError("nothing was refused")

folder = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", folder], check=True)
store = Store.open(Path(folder) / "store")
kept = [store.put_arrays({"x": np.full(20_000, float(n))}) for n in range(2)]
big = {"x": np.zeros(100_000)}
message = refused(lambda: store.put_arrays(big))
assert "blobs" in message and "cannot be written: the disk is full" in message, message
message = refused(lambda: store.put_checkpoint("s1", big, {}))
assert "s1.safetensors: cannot be written: the disk is full" in message, message
assert not list(store.root.rglob("*.tmp"))
assert store.verify() == [] and all(store.get_arrays(digest) is not None for digest in kept)
subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
for write in (
    lambda: Store.open(store.root),
    lambda: Store.open(Path(folder) / "new"),
    lambda: store.put(Record("run", "a1", {}, {}, {})),
    lambda: store.lease("x").__enter__(),
    lambda: store.folder("reports"),
):
    message = refused(write)
    assert folder in message and "the file system is read-only" in message, message
assert all(store.get_arrays(digest) is not None for digest in kept)
print("all told")
"""


def test_a_disk_that_is_really_full_and_one_that_is_really_read_only(tmp_path: Path):
    unshare = shutil.which("unshare")
    probe = "mount -t tmpfs none " + str(tmp_path)
    if not unshare or subprocess.run([unshare, "-rm", "sh", "-c", probe], check=False).returncode:
        pytest.skip("needs a private mount namespace")
    command = [unshare, "-rm", sys.executable, "-c", FILL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "all told\n", done.stderr


LIMIT = """
import resource, signal, sys
import numpy as np
from tutelage.errors import UserError
from tutelage.store import Store
store = Store.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.put_arrays({"x": np.zeros(100_000)})
except UserError as error:
    print(error)
"""


def test_a_limit_on_file_size_is_told_and_leaves_nothing(store: Store):
    command = [sys.executable, "-c", LIMIT, str(store.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written: the file would be larger than this process may write" in done.stdout
    assert str(store.root / "blobs") in done.stdout
    assert [path.name for path in store.root.rglob("*") if path.is_file()] == ["FORMAT"]
