"""Plain JSON documents that come back exactly as they were written."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any


def canonical(document: Any) -> str:
    """`document` as compact JSON with sorted keys: equal documents have equal texts.

    Plain are None, bool, int, str, finite float, and dicts (with strings as keys) and lists of
    those; a tuple is stored as a list. Otherwise ValueError or TypeError naming the key.
    """
    _check(document, "")
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(text: str) -> str:
    """SHA-256 of a text, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def _check(value: Any, key: str) -> None:
    if value is None or isinstance(value, bool | int | str):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"'{key}' is {value}; a stored number is finite, or None.")
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise TypeError(f"'{key}' has the key {name!r}; stored keys are strings.")
            _check(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{key}[{index}]")
    else:
        raise TypeError(f"'{key}' is a {type(value).__name__}, which JSON cannot hold.")
