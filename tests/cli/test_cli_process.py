"""The command as a process: quick to answer, loads what it needs, and can be interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TUTELAGE = Path(sys.executable).parent / "tutelage"

ALONE = """\
name: alone
data: {source: digits, train: 100, validation: 50, test: 50}
recipe: {epochs: 400, batch_size: 25, optimizer: {sgd: {lr: 0.01}}}
student: {model: plain-4-4}
replicates: {count: 1, students: 1}
"""


def tutelage(*args, **keys):
    return subprocess.run(
        [TUTELAGE, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **keys,
    )


def python(code, *args):
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip


def test_help_answers_quickly():
    seconds = []
    for _ in range(4):
        began = time.monotonic()
        said = tutelage("--help")
        seconds.append(time.monotonic() - began)
        assert said.returncode == 0
        assert "run" in said.stdout
        cut = [line for line in said.stdout.splitlines()[1:] if "..." in line]
        assert not cut
    assert min(seconds[1:]) < 0.6  # the first one warms the disk up


HEAVY = ("torch", "scipy", "sklearn", "pandas", "altair", "PIL")


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, tutelage; print([m for m in {HEAVY} if m in sys.modules])"
    assert python(code).strip() == "[]"
    code = f"import sys, tutelage.cli.app; print([m for m in {HEAVY} if m in sys.modules])"
    assert python(code).strip() == "[]"


LOOK = """
import contextlib, io, json, sys
from tutelage.cli.app import main
store = sys.argv[1]
run = json.loads(sys.argv[2])
for verb in (["--help"], ["run", "--help"], ["schema"], ["list", "studies"], ["list", "models"],
             ["list", "datasets"], ["list", "recipes"], ["store", "ls", "--store", store],
             ["store", "verify", "--store", store], ["status", "--store", store],
             ["show", run, "--store", store], ["results", "--json", "--store", store],
             ["results", "--store", store], ["report", "-o", store + "-page", "--store", store]):
    sys.argv = ["tutelage", *verb]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as end:
        assert end.code == 0, verb
    assert "torch" not in sys.modules, verb
print("never")
"""


def test_verbs_that_look_load_no_torch(ran):
    run = next((ran[2] / "records" / "run").rglob("*.json")).stem
    assert python(LOOK, ran[2], json.dumps(run)).strip() == "never"


def test_a_user_s_mistake_ends_the_process_with_code_2_and_no_traceback(tmp_path):
    said = tutelage("run", "nothing.yaml", cwd=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("error: nothing.yaml: does not exist.")
    assert said.stderr.count("\n") == 2


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_of_few_letters_gets_its_results(ran, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    said = tutelage("results", "--store", ran[2], env=environment, encoding=encoding)
    assert (said.returncode, said.stderr) == (0, "")
    assert "larger-is-worse" in said.stdout


def test_a_reader_that_leaves_early_is_no_failure(ran):
    command = f'"{TUTELAGE}" results --json --history --store "{ran[2]}" | head -c 1'
    said = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, timeout=120, check=False
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, b"{", b"")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_exits_with_130_and_keeps_what_it_did(call, tmp_path, number):
    study, store = tmp_path / "alone.yaml", tmp_path / "store"
    study.write_text(ALONE)
    # Whoever runs tests in the background may ignore interrupts, and a child inherits that.
    before = signal.signal(number, signal.SIG_DFL)
    process = subprocess.Popen(
        [TUTELAGE, "run", study, "--store", store, "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    signal.signal(number, before)
    try:
        deadline = time.monotonic() + 90
        while not list(store.glob("leases/*")):  # held while a run is trained
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.7)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.strip() == "interrupted; everything so far is kept: `run` continues it."
    assert "1 runs, 0 of them done before, 1 to train." in out
    assert len(list(store.glob("checkpoints/*.safetensors"))) == 1

    said = call("run", study, "--store", store, "--workers", 0)
    assert said.code == 0
    (record,) = (store / "records" / "run").rglob("*.json")
    found = json.loads(record.read_text())
    assert found["result"]["epochs"] == 400
    assert 0 < found["timing"]["resumed_at"] < 400
    assert not list(store.glob("checkpoints/*.safetensors"))
