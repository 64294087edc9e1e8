"""Calling the command: in this process, because starting another loads PyTorch again."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import warnings
from dataclasses import dataclass

import pytest
import torch

STUDY = """\
name: tiny
question: Is the large network the better teacher?
data: {source: digits, train: 100, validation: 50, test: 100, views: shift-1}
recipe: {epochs: 2, batch_size: 25, optimizer: {sgd: {lr: 0.05}}}
student: {model: plain-4-4}
teachers:
  small: {model: plain-4-4}
  large: {model: plain-8-8}
  early: {of: large, stop: {truncated: 1}}
  soft: {of: early, scale: {entropy_of: large}}
conditions:
  kd: {teacher: [small, large, early, soft]}
  eskd: {extends: kd, teacher: large, distill_until: 1}
replicates: {count: 2, students: 2}
claims:
  primary:
    larger-is-worse: {difference: [kd/large, kd/small], direction: greater, margin: 0.5}
  secondary:
    growth: {trend: {within: kd, of: train_kl}, direction: increasing, margin: 0.01}
    same: {equivalence: [eskd, kd/large], margin: 2.0}
    no-worse: {non_inferiority: [kd/soft, scratch], margin: 1.0}
"""


@dataclass(frozen=True)
class Outcome:
    """How a call of the command ended."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What was printed, without the breaks of its lines."""
        return " ".join(self.out.split())


def _call(*args: object) -> Outcome:
    from tutelage.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    before = sys.argv, signal.getsignal(signal.SIGTERM), warnings.showwarning
    try:
        sys.argv = ["tutelage", *map(str, args)]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        return Outcome(end.code, out.getvalue(), err.getvalue())
    finally:
        sys.argv, _, warnings.showwarning = before
        signal.signal(signal.SIGTERM, before[1])
    raise AssertionError("main always exits")


@pytest.fixture(scope="session")
def call():
    """A function: `tutelage ARGS` in this process."""
    torch.set_num_threads(1)
    return _call


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder with the study file `tiny.yaml`; stores are made in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUTELAGE_STORE", raising=False)
    (tmp_path / "tiny.yaml").write_text(STUDY)
    return tmp_path


@pytest.fixture(scope="session")
def ran(call, tmp_path_factory):
    """What `run` said of the tiny study, the folder of its file, and its store; to be read only."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "tiny.yaml").write_text(STUDY)
    said = call("run", folder / "tiny.yaml", "--workers", 0, "--store", folder / "store")
    return said, folder, folder / "store"


@pytest.fixture
def refused(call, here):
    """A function: calls the command, and returns its message after the checks that all share."""

    def check(*args):
        said = call(*args)
        assert said.code == 2, said
        assert said.out == ""
        assert said.err.startswith("error: ") or said.err.startswith("Usage: ")
        assert said.err.lower().count("error: ") == 1
        assert "Traceback" not in said.err
        for store in (here / "tutelage-store", here / "store"):
            assert not (store / "records").exists()
            assert not list(store.glob("studies/*.json"))
        return said.err

    return check
