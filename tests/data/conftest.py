"""Small folders of images, written for one test each, and a cache for what is decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Cache = Callable[[str, str], Path]
WriteImage = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    def file(kind: str, key: str) -> Path:
        folder = tmp_path / "cache" / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder / key

    return file


@pytest.fixture
def write_image() -> WriteImage:
    def write(path: Path, seed: int = 0, width: int = 8, height: int = 8) -> Path:
        """A PNG (or what the suffix says) of random RGB pixels."""
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path, write_image: WriteImage) -> Path:
    """Two classes, 6 and 4 training images and 3 and 3 for testing, 8x8 pixels, all different."""
    root = tmp_path / "images"
    seed = 0
    for split, counts in {"train": {"cat": 6, "dog": 4}, "test": {"cat": 3, "dog": 3}}.items():
        for name, count in counts.items():
            for number in range(count):
                write_image(root / split / name / f"{number}.png", seed)
                seed += 1
    return root
