"""The verb `doctor`: does this machine train reproducibly, and can it keep results?"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from tutelage.api import Study, default_store
from tutelage.errors import UserError
from tutelage.provenance import machine, versions
from tutelage.store import Store
from tutelage.store.files import check_writable

_LEAST_FREE = 1e9  # bytes

# A study of two trainings and a comparison that takes a second.
_PROBE = {
    "name": "doctor",
    "data": {"source": "digits", "train": 100, "validation": 100, "views": "shift-1"},
    "recipe": {"epochs": 2, "batch_size": 50},
    "student": {"model": "plain-4-4"},
    "teachers": {"t": {"model": "plain-8-8"}},
    "conditions": {"kd": {"teacher": "t"}},
    "replicates": {"count": 1, "students": 1},
}


def examine(store: Path | None) -> bool:
    """Run all checks and print what each found; returns whether all passed."""
    console = Console()
    passed = True
    for check in (_installed, _processor, _store, _reproducible):
        try:
            for line in check(store):
                console.print(f"[green]ok[/green]       {line}", highlight=False)
        except (UserError, AssertionError, OSError, RuntimeError, ValueError) as problem:
            passed = False
            console.print(f"[red]problem[/red]  {problem}", highlight=False)
    return passed


def _installed(_: Path | None) -> Iterator[str]:
    yield ", ".join(f"{name} {version}" for name, version in versions().items())


def _processor(_: Path | None) -> Iterator[str]:
    import torch

    here = machine()
    yield f"{here['cpu']}, {here['cores']} cores, {here['system']}"
    if torch.cuda.is_available():
        yield f"CUDA device {torch.cuda.get_device_name()}"
    else:
        yield "no CUDA device: training on the CPU"


def _store(store: Path | None) -> Iterator[str]:
    path = store or default_store()
    if path.exists():
        opened = Store.open(path, create=False)
        check_writable(opened.root)
        yield f"the store {opened.root} is readable and writable"
    else:
        parent = next(folder for folder in path.resolve().parents if folder.exists())
        assert os.access(parent, os.W_OK), f"{parent} is not writable, so no store can be made"
        yield f"a store can be made at {path}"
    existing = path if path.exists() else Path()
    free = shutil.disk_usage(existing).free
    assert free > _LEAST_FREE, f"only {free / 1e9:.2f} GB are free for the store"
    yield f"{free / 1e9:.0f} GB are free for it"


def _reproducible(_: Path | None) -> Iterator[str]:
    def digests(workers: int) -> list[str]:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = Study(**_PROBE).run(folder, workers=workers, device="cpu")
            assert not result.failures, f"a small study failed: {result.failures}"
            return [row["digest"] for row in result.runs]

    here, there = digests(0), digests(2)
    assert here == there, "the same small study gave other weights in another process"
    yield f"a small study of {len(here)} runs gave the same weights here and in two processes"
