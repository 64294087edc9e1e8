"""Full disks, limits and missing permissions, met for real while a study runs or is looked at."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tutelage.store import Store

TUTELAGE = Path(sys.executable).parent / "tutelage"
LIMIT = 3000  # bytes; logits are longer, records and weights are not
SMALL = """\
name: small
data: {source: digits, train: 60, validation: 20, test: 40}
recipe: {epochs: 2, batch_size: 20, optimizer: {sgd: {lr: 0.05}}}
student: {model: plain-4}
teachers: {large: {model: plain-8}}
conditions: {kd: {teacher: large}}
replicates: {count: 2, students: 2}
"""


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without the rights of root, which no permission bit stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def small(tmp_path):
    """The study file of four runs a replicate."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def one_message(err):
    """The only message on standard error, after the checks that all share."""
    assert "Traceback" not in err
    assert err.count("error: ") == 1, err
    assert err.startswith("error: "), err
    assert len(err.splitlines()) <= 3
    return err


@pytest.mark.parametrize("workers", [0, 1])
def test_a_limit_that_is_met_under_way_ends_the_study_in_words(call, small, tmp_path, workers):
    options = ("--store", tmp_path / "store", "--device", "cpu", "--workers")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))  # workers inherit it
    try:
        said = call("run", small, *options, workers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.code == 2
    assert "failed" not in said.out
    message = one_message(said.err)
    assert f"{tmp_path / 'store'}/blobs/" in message
    assert "cannot be written: the file would be larger than this process may write" in message
    assert "ulimit -f" in message
    kept = Store.open(tmp_path / "store")
    assert kept.verify() == []
    assert len(kept.ids("run")) == 1  # it was trained before its logits were to be written
    again = call("run", small, *options, 0)
    assert (again.code, again.err) == (0, "")


FULL = """
mount -t tmpfs -o size=96k none "$1"
"$2" run "$3" --store "$1/store" --workers 2 --device cpu; echo "exit $?"
mount -o remount,size=50m "$1"
"$2" store verify --store "$1/store" || echo damaged
"$2" run "$3" --store "$1/store" --workers 0 --device cpu; echo "exit $?"
cat /dev/zero > "$1/fill" 2> /dev/null
"$2" report -o "$1/page.html" --store "$1/store"; echo "exit $?"
"$2" run "$3" --set seed=1 --store "$1/store" --workers 0 --device cpu; echo "exit $?"
mount -o remount,ro "$1"
"$2" results --store "$1/store" > "$4"; echo "exit $?"
"$2" run "$3" --store "$1/store" --workers 0 --device cpu; echo "exit $?"
"""


@pytest.mark.slow
def test_a_full_disk_stops_the_study_and_it_goes_on_when_there_is_room(small, tmp_path):
    folder, unshare = tmp_path / "disk", shutil.which("unshare")
    folder.mkdir()
    probe = f"mount -t tmpfs none {folder}"
    if not unshare or subprocess.run([unshare, "-rm", "sh", "-c", probe], check=False).returncode:
        pytest.skip("needs a private mount namespace")
    said = subprocess.run(
        [unshare, "-rm", "sh", "-c", FULL, "sh", folder, TUTELAGE, small, tmp_path / "out"],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    codes = [line for line in said.stdout.splitlines() if line.startswith("exit")]
    assert codes == ["exit 2", "exit 0", "exit 2", "exit 2", "exit 0", "exit 2"], said
    assert "damaged" not in said.stdout
    assert "10 runs, 0 of them done before" in said.stdout
    messages = said.stderr.split("error: ")[1:]
    assert len(messages) == 4, said.stderr
    words = ["disk is full", "page.html: cannot be written: the disk is full", "disk is full",
             "file system is read-only"]  # fmt: skip
    for message, expected in zip(messages, words, strict=True):
        assert expected in message
        assert str(folder) in message
        assert "Traceback" not in message
    assert "scratch" in (tmp_path / "out").read_text()


# --- a store that belongs to somebody else -------------------------------------------------------


@pytest.fixture(scope="module")
def foreign(ran):
    """A finished store that only its owner may write, beside a folder for everybody."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(ran[2], folder / "store")
        shutil.copy(ran[1] / "tiny.yaml", folder)
        (folder / "store" / "damaged").mkdir()
        (folder / "store" / "damaged" / "ab.12.json").write_text("{")
        (folder / "mine").mkdir()
        (folder / "mine").chmod(0o777)
        inside = [folder / "store", *(folder / "store").rglob("*")]
        for path in inside:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder
        for path in inside:
            path.chmod(0o755)


@pytest.mark.parametrize(
    "args",
    [["results"], ["results", "tiny", "--json"], ["status"], ["store", "verify"], ["store", "ls"],
     ["report", "-o", "{mine}/page.html"], ["store", "gc", "--dry-run"]],
    ids=" ".join,
)  # fmt: skip
def test_a_store_that_cannot_be_written_can_be_looked_at(call, foreign, args):
    args = [arg.format(mine=foreign / "mine") for arg in args]
    with unprivileged():
        said = call(*args, "--store", foreign / "store")
    assert (said.code, said.err) == (0, "")
    assert said.out


@pytest.mark.parametrize(
    "args",
    [["run", "{tiny}", "--workers", "0"], ["run", "{tiny}", "--workers", "2", "--set", "seed=7"],
     ["plan", "{tiny}"], ["report"], ["report", "-o", "{store}/page.html"],
     ["store", "gc", "--damaged"]],
    ids=" ".join,
)  # fmt: skip
def test_a_store_that_cannot_be_written_refuses_in_one_message(call, foreign, args):
    args = [arg.format(tiny=foreign / "tiny.yaml", store=foreign / "store") for arg in args]
    with unprivileged():
        said = call(*args, "--store", foreign / "store")
    assert (said.code, said.out) == (2, "")
    assert "permission is denied" in one_message(said.err)
    assert str(foreign / "store") in said.err


def test_damage_in_a_store_that_cannot_be_written_is_told_and_left(call, foreign):
    record = next((foreign / "store" / "records" / "run").rglob("*.json"))
    before = record.read_bytes()
    record.chmod(0o644)
    record.write_bytes(before[:100])
    record.chmod(0o444)
    try:
        with unprivileged():
            said = call("results", "--store", foreign / "store")
            verified = call("store", "verify", "--store", foreign / "store")
        assert said.code == 0
        assert said.err.count("warning: ") == 1
        assert f"{record} is damaged" in said.err
        assert "counts as missing; it stays: " in said.err
        assert verified.code == 1
        assert f"{record}: the record is damaged" in verified.out
        assert record.read_bytes() == before[:100]
    finally:
        record.chmod(0o644)
        record.write_bytes(before)
        record.chmod(0o444)


def test_a_study_file_that_may_not_be_read(call, foreign):
    path = foreign / "mine" / "secret.yaml"
    path.write_text(SMALL)
    path.chmod(0o200)
    with unprivileged():
        said = call("run", path, "--store", foreign / "mine" / "store")
    if os.geteuid() != 0:
        pytest.skip("needs a file of another user")
    assert (said.code, said.out) == (2, "")
    assert "secret.yaml: cannot be read" in one_message(said.err)


# --- elsewhere -----------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("verb", ["results", "status"])
def test_output_into_a_full_disk(ran, verb):
    with open("/dev/full", "w") as full:
        said = subprocess.run(
            [TUTELAGE, verb, "--store", ran[2]],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert said.returncode == 2
    assert one_message(said.stderr) == "error: standard output: No space left on device.\n"
