"""The canonical form of a value, and its digest: what every identity is made of.

Two values that mean the same have one form: keys are sorted, numbers are written once (1.0 as 1,
5e-4 as 0.0005), defaults are filled in before hashing or left out by the caller.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any


def canonical(value: Any) -> str:
    """`value` (None, bool, number, string, list, dict) as compact JSON in canonical form."""
    return json.dumps(_normal(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def derive_seed(*path: str | int) -> int:
    """A seed in [0, 2^63) that is a pure function of its path, such as (0, "student", 2, 1)."""
    return int(digest(list(path))[:16], 16) >> 1


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a canonical form has strings as keys")
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normal(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no canonical form")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"{type(value).__name__} has no canonical form")
