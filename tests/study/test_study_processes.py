"""Worker processes: same bits, kills injected for real, two studies on one store."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from tutelage.api import Study, open_result
from tutelage.errors import UserError
from tutelage.store import Store

TUTELAGE = Path(sys.executable).parent / "tutelage"


def comparable(result):
    """Everything of a study that must not depend on how it was executed."""
    store = result.context.store
    records = {}
    for kind in ("run", "state", "scale", "evaluation", "mimicry"):
        records |= {(kind, i): store.get(kind, i).result for i in store.ids(kind)}
    return records


def workers_of(pid):
    """Process ids of the workers that the process `pid` started."""
    listing = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in listing.stdout.split()]


def write(parts, path):
    path.write_text(yaml.safe_dump(parts))
    return path


def start(study, store, *more):
    return subprocess.Popen(
        [TUTELAGE, "run", str(study), "--store", str(store), "--device", "cpu", *more],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def finished_runs(store):
    return len(Store.open(store).ids("run")) if store.exists() else 0


def in_workers(folder, monkeypatch, *lines):
    """Has every worker execute `lines`, which know tutelage.study.execute, before it begins."""
    body = ["import tutelage.study.execute as execute", *lines]
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nif 'tutelage.study.engines.worker' in sys.orig_argv:\n"
        + "".join(f"    {line}\n" for line in body)
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_processes_give_the_bits_of_this_process(small, tmp_path):
    here = Study(**small).run(tmp_path / "here", workers=0, device="cpu")
    there = Study(**small).run(tmp_path / "there", workers=2, device="cpu")
    assert there.failures == {}
    assert comparable(here) == comparable(there)


def test_a_killed_worker_costs_only_its_own_runs(small, tmp_path):
    small["recipe"]["epochs"] = 30
    events = []

    def kill_worker():
        os.kill(workers_of(os.getpid())[0], signal.SIGKILL)

    def kill_one(event):
        events.append(event)
        if event.key.startswith("r0/kd/") and event.kind == "started" and not killed:
            killed.append(event.key)
            threading.Timer(0.3, kill_worker).start()

    killed = []
    result = Study(**small).run(
        tmp_path / "a", workers=1, device="cpu", checkpoint_seconds=0.0, on_event=kill_one
    )
    assert result.failures == {}
    retried = {e.key for e in events if e.kind == "retried"}
    assert killed[0] in retried  # and those that were trained beside it
    assert len(retried) == len([e for e in events if e.kind == "retried"])
    undisturbed = Study(**small).run(tmp_path / "b", workers=0, device="cpu")
    assert comparable(result) == comparable(undisturbed)


def test_a_task_that_always_kills_its_process_fails_and_the_rest_goes_on(
    small, tmp_path, monkeypatch
):
    in_workers(
        tmp_path,
        monkeypatch,
        "real = execute._begin",
        "def begin(context, node, *more):",
        "    if node.training.name == 'eskd':",
        "        os.kill(os.getpid(), 9)",
        "    return real(context, node, *more)",
        "execute._begin = begin",
    )
    result = Study(**small).run(tmp_path / "s", workers=1, device="cpu")
    assert set(result.failures) == {"r0/eskd/s0", "r0/compare"}
    assert "died 3 times" in result.failures["r0/eskd/s0"]
    status = {row["key"]: row["status"] for row in result.runs}
    assert status["r0/kd/s0"] == "done"
    assert status["r0/eskd/s0"] == "failed"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("raise ImportError('no module named frobnicate')", "the worker processes cannot begin: "
         "ImportError: no module named frobnicate"),
        ("os._exit(3)", "the worker processes keep dying; the last words: never more"),
    ],
)  # fmt: skip
def test_workers_that_cannot_begin_are_told_in_one_message(
    small, tmp_path, monkeypatch, line, words
):
    in_workers(
        tmp_path,
        monkeypatch,
        "def prepare_process():",
        "    print('never more', file=sys.stderr, flush=True)",
        f"    {line}",
        "import tutelage.study.process",
        "tutelage.study.process.prepare_process = prepare_process",
    )
    monkeypatch.setattr("tutelage.study.engines.local._MOST_DEATHS", 2)
    events = []
    with pytest.raises(UserError) as caught:
        Study(**small).run(tmp_path / "s", workers=1, device="cpu", on_event=events.append)
    assert words in caught.value.what
    assert (caught.value.where or "").endswith(".log")
    assert not any(event.kind == "failed" for event in events)


def test_fewer_than_no_workers(small, tmp_path):
    with pytest.raises(UserError, match="-1 workers cannot work"):
        Study(**small).run(tmp_path / "s", workers=-1, device="cpu")


def test_workers_end_when_the_study_is_killed(small, tmp_path):
    small["recipe"]["epochs"] = 400
    process = start(write(small, tmp_path / "s.yaml"), tmp_path / "store", "--workers", "2")
    deadline = time.monotonic() + 60
    while not (workers := workers_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_two_runs_on_one_store_share_the_work(small, tmp_path, monkeypatch):
    in_workers(
        tmp_path,
        monkeypatch,
        "real = execute.train",
        "def train(runs, **options):",
        f"    with open({str(tmp_path / 'trained')!r}, 'a') as log:",
        "        log.writelines(run.trajectory.id + '\\n' for run in runs)",
        "    return real(runs, **options)",
        "execute.train = train",
    )
    small["replicates"] = {"count": 2, "students": 2}
    small["recipe"]["epochs"] = 12
    study = write(small, tmp_path / "s.yaml")
    both = [start(study, tmp_path / "store", "--workers", "1") for _ in range(2)]
    outputs = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    result = open_result("tiny", tmp_path / "store")
    undisturbed = Study(**small).run(tmp_path / "alone", workers=0, device="cpu")
    assert comparable(result) == comparable(undisturbed)
    trained = (tmp_path / "trained").read_text().split()
    assert len(trained) == len(set(trained)) == len(result.context.plan.nodes)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_study_killed_at_ten_random_moments_ends_as_an_undisturbed_one(parts, tmp_path):
    parts["recipe"]["epochs"] = 30
    parts["replicates"] = {"count": 3, "students": 3}
    study, store = write(parts, tmp_path / "s.yaml"), tmp_path / "store"
    undisturbed = Study(**parts).run(tmp_path / "alone", workers=2, device="cpu")
    rng = random.Random(20191027)
    # Kills wait for records, not for seconds: how fast a machine is must not decide how many
    # of them the study outlives.
    waits = [0, 1] * 5
    rng.shuffle(waits)
    for kill, wait in enumerate(waits):
        process = start(study, store, "--workers", "2")
        wanted = finished_runs(store) + wait
        while finished_runs(store) < wanted and process.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 0.5 if wait else 3.0))
        assert process.poll() is None, f"the study was over after {kill} kills"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    last = start(study, store, "--workers", "2")
    output = last.communicate(timeout=600)[0]
    assert last.returncode == 0, output
    assert comparable(open_result("tiny", store)) == comparable(undisturbed)
    assert Store.open(store).verify() == []
