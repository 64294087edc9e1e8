"""Where a record was made: versions, machine and threads. Never part of a comparison."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from functools import cache
from typing import Any

_PACKAGES = ("tutelage", "torch", "numpy", "scipy", "scikit-learn", "safetensors")


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that take part in a result."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


@cache
def machine() -> dict[str, Any]:
    """The processor, its cores, and the operating system; no names of hosts or users."""
    return {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform(terse=True)}


@cache
def provenance(device: str = "cpu") -> dict[str, Any]:
    """Versions, machine, threads and device of this process."""
    torch = sys.modules.get("torch")
    here: dict[str, Any] = {"versions": versions(), "machine": machine(), "device": device}
    if torch is not None:
        here["threads"] = torch.get_num_threads()
        if device.startswith("cuda"):
            here["accelerator"] = torch.cuda.get_device_name(device)
    return here


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            ]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
