"""Named numpy arrays as the bytes of a safetensors file, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from safetensors.numpy import load, save

_DTYPES = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
}


def pack(arrays: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """`arrays` in safetensors format. Without metadata, equal arrays give equal bytes.

    Memory layout, byte order and the order of the names do not matter.
    """
    return save({name: plain(name, arrays[name]) for name in sorted(arrays)}, metadata)


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """The arrays in safetensors `data`, sorted by name, writable."""
    arrays = load(data)
    return {name: _writable(arrays[name]) for name in sorted(arrays)}


def plain(name: str, array: np.ndarray) -> np.ndarray:
    """`array` in C order and little-endian. TypeError naming it when it cannot be stored."""
    if not isinstance(array, np.ndarray | np.generic) or array.dtype.name not in _DTYPES:
        kind = getattr(array, "dtype", type(array).__name__)
        raise TypeError(f"'{name}' is {kind}; stored arrays are numpy's bool, int, uint or float.")
    if name == "__metadata__":
        raise ValueError("'__metadata__' cannot be the name of a stored array.")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _writable(array: np.ndarray) -> np.ndarray:
    return array if array.flags.writeable else array.copy()
