"""What the tests of the store share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tutelage.store import Record, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def record() -> Record:
    return Record(
        kind="run",
        id="ab12cd",
        result={"val_error": 12.5, "epochs": 3, "name": "kd/größe", "history": [{"loss": 1e-05}]},
        provenance={"torch": "2.6", "threads": 1},
        timing={"attributed_s": 1.25, "images_per_s": None},
    )


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "logits": rng.normal(size=(20, 10)).astype(np.float32),
        "labels": rng.integers(0, 10, 20),
        "half": rng.normal(size=7).astype(np.float16),
        "pixels": rng.integers(0, 256, (2, 3, 3, 1), dtype=np.uint8),
        "mask": np.array([True, False]),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), np.float32),
    }


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python code in a process of its own; those still alive are killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def _start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield _start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def flip() -> Callable[[Path], None]:
    """Flip one bit in the middle of a file."""

    def _flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)

    return _flip
