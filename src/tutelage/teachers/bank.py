"""Teachers' logits on disk, in the store's cache: computed once, heard by every student.

Logits are kept as fp16, memory-mapped and checksummed. When all of them together take more room
than they may, those that were used longest ago go first; they are derived, and computed anew when
they are asked for again.
"""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tutelage.store import Store, atomic_write, read_if_there

LARGEST_TABLE = 512 * 2**20
"""Bytes that a table of all views, or of one epoch, may have."""

_KIND = "logits"
_CHECKSUM_BYTES = hashlib.sha256().digest_size

Logits = NDArray[np.float16]
How = Literal["table", "epochs", "live"]


def cheapest(
    views: int | None, images: int, classes: int, *, epochs: int, seeds: int, listeners: int
) -> How:
    """How a teacher is best asked; it never changes what it answers.

    `views` is how many an image has (None: they cannot be counted), `epochs` in how many a student
    hears the teacher, `seeds` how many streams of batches there are, and `listeners` how many
    students hear it on each stream. A table costs one pass over the images for each view; a file
    for each epoch of each stream, one for each of those; a live teacher, one for each epoch of each
    student, but no room.
    """
    fits = views is not None and views * images * classes * 2 <= LARGEST_TABLE
    if views is not None and fits and views <= epochs * seeds:
        return "table"
    return "epochs" if listeners > 1 and images * classes * 2 <= LARGEST_TABLE else "live"


@dataclass(frozen=True)
class Bank:
    """The logits in the cache of `store`, at most `most_bytes` of them."""

    store: Store
    most_bytes: int = 8 * 2**30

    def load(self, key: str, shape: tuple[int, ...]) -> Logits | None:
        """The logits of that key, memory-mapped; None when they are missing or not what was kept.

        `shape` is the one that they must have.
        """
        path = self.store.cache_file(_KIND, f"{key}.npy")
        whole = read_if_there(path) or b""
        data, checksum = whole[:-_CHECKSUM_BYTES], whole[-_CHECKSUM_BYTES:]
        if hashlib.sha256(data).digest() != checksum:
            return None
        with suppress(OSError):
            os.utime(path)  # used just now
        logits = np.load(path, mmap_mode="r", allow_pickle=False)
        return logits if logits.shape == shape and logits.dtype == np.float16 else None

    def keep(self, key: str, logits: Logits) -> None:
        """Write the logits, and remove what was used longest ago where there is no room for all."""
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(logits, np.float16), allow_pickle=False)
        data = buffer.getvalue()
        path = self.store.cache_file(_KIND, f"{key}.npy")
        atomic_write(path, data + hashlib.sha256(data).digest())
        kept = [(file.stat().st_mtime_ns, file.stat().st_size, file)
                for file in path.parent.glob("*.npy") if file != path]  # fmt: skip
        room = self.most_bytes - len(data)
        for _, size, file in sorted(kept, reverse=True):
            room -= size
            if room < 0:
                file.unlink(missing_ok=True)

    def lock(self, key: str) -> AbstractContextManager[bool]:
        """Held by whoever computes the logits of that key; others wait for it."""
        return self.store.lock(f"logits-{key}")
