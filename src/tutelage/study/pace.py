"""How fast this machine trains: each network timed once, and its pace kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tutelage.config.canonical import digest
from tutelage.config.chain import Start
from tutelage.provenance import machine, versions
from tutelage.store import Store, atomic_write, read_if_there


@dataclass(frozen=True)
class Pace:
    """Seconds of one core: of a training step, and of evaluating one image.

    A step of the fused stepper is that of FUSED_GROUP networks.
    """

    step: float
    image: float


class Paces:
    """The paces of this machine, kept in a store's cache and measured where they are missing."""

    def __init__(self, store: Store) -> None:
        # What another machine, or another version, has measured does not count here.
        self._path: Path = store.cache_file("pace", f"{digest([machine(), versions()])[:16]}.json")
        try:
            self._known = json.loads(read_if_there(self._path) or b"{}")
        except ValueError:
            self._known = {}

    def of(self, start: Start, shape: tuple[int, int, int], classes: int) -> Pace:
        """The pace of runs that begin like `start`, on images of `shape` (H, W, C)."""
        key = _key(start, shape, classes)
        if key not in self._known:
            from tutelage.study.timing import timed  # it takes long to load

            self._known[key] = asdict(timed(start, shape, classes))
            atomic_write(self._path, json.dumps(self._known, indent=1).encode())
        return Pace(**self._known[key])

    def knows(self, start: Start, shape: tuple[int, int, int], classes: int) -> bool:
        """Whether that pace need not be measured."""
        return _key(start, shape, classes) in self._known


def _key(start: Start, shape: tuple[int, int, int], classes: int) -> str:
    parts = [start.model, shape, classes, start.batch_size, start.stepper, start.precision]
    return digest([*parts, start.device, type(start.optimizer).__name__])
