"""How long one call takes on this machine, in one thread."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from tutelage.exporting.formats import Images, Runner

BATCHES = (1, 64)
_WARM_UP = 3
_ROUNDS = (9, 101)  # calls of each that are timed, at least and at most
_BUDGET = 0.6  # seconds of calls for each entry and batch


def measure(runners: Mapping[str, Runner], image: Images) -> list[dict[str, Any]]:
    """The median time (ms) of a call of each runner, with 1 and 64 copies of `image` [C, H, W].

    After a warm-up the runners take turns, so that what disturbs the machine for a while disturbs
    all of them. `calls` is the number of calls behind each median; `spread_ms` are the quartiles.
    """
    found: dict[str, dict[str, Any]] = {name: {"what": name} for name in runners}
    with one_thread():
        for batch in BATCHES:
            images = np.repeat(image[None], batch, axis=0)
            for name, times in _times(runners, images).items():
                low, median, high = (1e3 * float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
                found[name][f"batch_{batch}"] = {
                    "median_ms": median, "spread_ms": [low, high], "calls": len(times),
                }  # fmt: skip
    return list(found.values())


def _times(runners: Mapping[str, Runner], images: Images) -> dict[str, list[float]]:
    """Seconds of each call, by runner; slower ones are called less often."""
    slowest = 0.0
    for run in runners.values():
        for _ in range(_WARM_UP):
            run(images)
        slowest = max(slowest, _timed(run, images))
    least, most = _ROUNDS
    rounds = int(min(most, max(least, _BUDGET / max(slowest, 1e-6))))
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, run in runners.items():
            times[name].append(_timed(run, images))
    return times


def _timed(run: Runner, images: Images) -> float:
    started = time.perf_counter()
    run(images)
    return time.perf_counter() - started


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes in one thread inside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
