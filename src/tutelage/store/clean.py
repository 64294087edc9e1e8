"""Removing what a store can do without. Records, blobs and checkpoints always stay."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tutelage.store.files import told

STALE = 24 * 3600.0  # seconds; no write takes as long, so nobody holds the file any more


@dataclass(frozen=True)
class Removed:
    """A file that was removed, or would be, and its size in bytes."""

    path: Path
    size: int


def clean(root: Path, *, damaged: bool, cache: bool, dry_run: bool) -> list[Removed]:
    """Remove temporary files that killed processes left behind, a day old or more.

    With `damaged` also what was set aside, with `cache` all derived data. With `dry_run` nothing
    is removed. StorageError where that is not permitted.
    """
    removed = []
    for path in sorted({*_stale(root), *_files(root, damaged=damaged, cache=cache)}):
        with told(path, "removed"):
            try:
                size = path.stat().st_size
                if not dry_run:
                    path.unlink()
            except FileNotFoundError:  # somebody else was quicker
                continue
        removed.append(Removed(path, size))
    return removed


def _stale(root: Path) -> Iterator[Path]:
    oldest = time.time() - STALE
    for path in root.rglob("*.tmp"):
        with told(path, "read"):
            try:
                if path.is_file() and path.stat().st_mtime < oldest:
                    yield path
            except FileNotFoundError:
                continue


def _files(root: Path, *, damaged: bool, cache: bool) -> Iterator[Path]:
    for name, wanted in (("damaged", damaged), ("cache", cache)):
        if wanted:
            yield from (path for path in (root / name).rglob("*") if path.is_file())
