"""A page followed from top to bottom by a reader who types what it says, in one folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from pages import ROOT, Block
from torch.utils.data import TensorDataset

from tutelage.api import Study
from tutelage.config.load import load_study
from tutelage.config.schema import StudyConfig

# What sets an environment up is not done again, but what it names must be there.
_SETS_UP = re.compile(
    r"make |git clone |cd |python3\.11 -m venv|\. \.venv|(\.venv/bin/)?pip install"
)
_TRAINS = ("run", "distill")
_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_EXTRAS = set(_PROJECT["optional-dependencies"])


class Session:
    """Runs blocks in the current folder. `call` runs the command; `rest` completes fragments of
    studies."""

    def __init__(self, call: Any, rest: dict[str, Any]) -> None:
        self.call, self.rest = call, rest

    def follow(self, block: Block) -> None:
        """Do what the block says. AssertionError, with page and line, where it does not work."""
        if "not run" in block.marks or block.language == "text":
            return
        if block.file is not None:
            Path(block.file).write_text(block.code, encoding="utf-8")
        try:
            getattr(self, f"_{block.language}")(block)
        except Exception as error:
            raise AssertionError(f"{block.where}: {error}") from error

    def _python(self, block: Block) -> None:
        code = compile("\n" * (block.line - 1) + block.code, block.page, "exec")
        sets = shlex.split(block.marks.get("in tests", "").replace("--set ", ""))
        if block.file is None:
            with mock.patch("tutelage.api.load_study", partial(_load, sets)):
                exec(code, {"__name__": "__main__", **_datasets()})

    def _yaml(self, block: Block) -> None:
        """A study, or a part of one, is planned with what the rest of the page is about."""
        parts = yaml.safe_load(block.code)
        if "name" in parts:
            Path("whole.yaml").write_text(block.code, encoding="utf-8")
            lies = parts["data"].get("source") == "files" and "path" not in parts["data"]
            study = Study.load("whole.yaml", data="photos" if lies else None)
        else:
            is_claims = not set(parts) & set(StudyConfig.model_fields)
            added = {"claims": {"secondary": parts}} if is_claims else parts
            study = Study(**merged(self.rest, added))
        context = study.prepare("planned", "cpu", keep=False)
        assert context.plan.nodes

    def _shell(self, block: Block) -> None:
        lines = [line for line in block.code.replace("\\\n", " ").splitlines() if line.strip()]
        for number, line in enumerate(lines, 1):
            code = int(block.marks.get("exit code", "0")) if number == len(lines) else 0
            self._line(line, block.marks.get("in tests", ""), code)

    def _line(self, line: str, more: str, code: int) -> None:
        bare = re.sub(r"\s+# .*", "", line)
        words = shlex.split(bare)
        if not words:
            return
        if _SETS_UP.match(line):
            _check_names(line, words)
        elif words[0].removeprefix(".venv/bin/") == "tutelage" and not re.search("[|<>;&$]", bare):
            verb = words[1]
            words += shlex.split(more) if verb in (*_TRAINS, "plan") else []
            words += ["--workers", "0"] if verb in _TRAINS else []
            said = self.call(*words[1:])
            assert said.code == code, f"`{line}` ended with {said.code}: {said.err or said.out}"
        else:
            bin = Path(sys.executable).parent
            there = {"PATH": f"{bin}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
            done = subprocess.run(
                ["bash", "-c", line], env=os.environ | there, capture_output=True, text=True,
                check=False, timeout=200,
            )  # fmt: skip
            assert done.returncode == code, f"`{line}` ended with {done.returncode}: {done.stderr}"


def _load(sets: list[str], *args: Any, **options: Any) -> StudyConfig:
    """Loads a study with further overrides."""
    return load_study(*args, **{**options, "overrides": [*options.get("overrides", ()), *sets]})


def _datasets() -> dict[str, Any]:
    """What only a reader's own code can name."""
    images, labels = torch.rand(90, 1, 8, 8), torch.arange(90) % 3
    return {
        "train_dataset": TensorDataset(images, labels),
        "test_dataset": TensorDataset(images.flip(3), labels),
    }


def _check_names(line: str, words: list[str]) -> None:
    """The targets of make and the extras of an installation are there."""
    if words[0] == "make":
        targets = {word for word in words[1:] if "=" not in word}
        assert targets <= _TARGETS, f"`{line}`: no target {targets - _TARGETS}"
    extras = {each for part in re.findall(r"\[([\w,]+)\]", line) for each in part.split(",")}
    assert extras <= _EXTRAS, f"`{line}`: no extra {extras - _EXTRAS}"


def merged(base: Any, over: Any) -> Any:
    """`over` laid over `base`, mapping by mapping."""
    if isinstance(base, dict) and isinstance(over, dict):
        both = {key: merged(base[key], over[key]) for key in base.keys() & over.keys()}
        return {**base, **over, **both}
    return over
