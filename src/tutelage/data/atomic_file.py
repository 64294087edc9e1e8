"""Large files that are whole or absent; small ones go through tutelage.store.atomic_write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

from tutelage.store.files import told


@contextmanager
def atomic_file(path: Path) -> Iterator[BufferedRandom]:
    """A file to write to, which takes the name `path` in one step when the block ends well.

    StorageError when the disk is full or writing is not permitted; an old file is then untouched.
    """
    temporary = path.parent / f".{os.urandom(8).hex()}.tmp"
    with told(path, "written"):
        try:
            with temporary.open("x+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
