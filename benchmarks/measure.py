"""What all benchmarks share: one core, turns, medians with their spread, and the evidence."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

from tutelage.provenance import machine, versions

Turn = Callable[[], object]
Evidence = dict[str, Any]


@contextmanager
def one_core() -> Iterator[None]:
    """One core and one thread for everything inside, as a worker has it."""
    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    torch.set_num_threads(1)
    if cores is not None:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if cores is not None:
            os.sched_setaffinity(0, cores)


def evidence(what: str, **found: Any) -> Evidence:
    """What was found, under the header without which no figure stands."""
    header = {
        "what": what, "date": datetime.date.today().isoformat(), "machine": machine(),
        "versions": versions(), "threads": torch.get_num_threads(),
    }  # fmt: skip
    return header | found


def seconds_of(do: Turn, clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of the core that `do` takes.

    They are the clock's where nothing else runs; what other processes take meanwhile, on a machine
    that is shared, does not count.
    """
    began = clock()
    do()
    return clock() - began


def interleaved(turns: Mapping[str, Turn], rounds: int) -> dict[str, list[float]]:
    """Seconds of the core of each turn, one figure a round; see `in_turns`."""
    return in_turns({name: partial(seconds_of, do) for name, do in turns.items()}, rounds)


def in_turns(takes: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each way tells of its turns, one figure a round; the first round is thrown away.

    In each round every way takes its turn, so that what else the machine does falls on all alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in takes}
    for number in range(rounds + 1):
        for name, take in takes.items():
            taken = take()
            if number:
                seconds[name].append(taken)
    return seconds


@contextmanager
def apart(
    make: Callable[..., dict[str, Turn]], *arguments: Any
) -> Iterator[Callable[[str], float]]:
    """A process of its own for the turns that `make(*arguments)` makes there; what is given takes
    one of them by name, and tells its seconds. So no side lives on how the other one's process is
    set up, such as what its C library does with freed memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_open, initargs=(make, arguments)) as process:
        yield lambda name: process.submit(_take, name).result()


_turns: dict[str, Turn] = {}  # of this process, where it is one of `apart`


def _open(make: Callable[..., dict[str, Turn]], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    _turns.update(make(*arguments))


def _take(name: str) -> float:
    return seconds_of(_turns[name])


def middle(values: Sequence[float]) -> dict[str, float]:
    """The median of the values, the quartiles around it, and how many values there are."""
    low, high = np.quantile(values, (0.25, 0.75))
    return {"median": statistics.median(values), "low": float(low), "high": float(high),
            "n": len(values)}  # fmt: skip


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """How many times faster ours is: the ratio of the medians, and the quartiles of the ratios of
    single rounds. Both sides have one figure for each round."""
    by_round = [a / b for a, b in zip(theirs, ours, strict=True)]
    value = statistics.median(theirs) / statistics.median(ours)
    return middle(by_round) | {"value": value}


def random_images(
    count: int, shape: tuple[int, int, int], classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [count, *shape] of noise with labels int64 [count] of every class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    return images, np.arange(count) % classes
