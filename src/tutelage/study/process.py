"""The state of a process that trains: one thread, reproducible kernels, memory that is kept."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

# Of <malloc.h>: free memory at the end of the heap stays with the process, and what is smaller than
# KEPT comes from the heap.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 256 << 20  # bytes; no activation of a batch is larger


def prepare_process() -> None:
    """Makes this process one that trains reproducibly and without needless work."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what CUDA asks for determinism
    torch.set_num_threads(1)
    # What is called fp32 is fp32.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    # As use_deterministic_algorithms(True), which would first import a compiler for seconds.
    torch.set_deterministic_debug_mode("error")
    # Every new tensor would be filled with NaN, which only shows who reads what nobody wrote.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore
    keep_memory()


def keep_memory() -> bool:
    """Has the C library keep freed memory for the next step, where it is glibc; says whether.

    A step frees all its activations. Given back to the system, their pages are asked for and zeroed
    again in the next one: up to a fifth of the step of a tiny network.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1) and mallopt(_M_MMAP_THRESHOLD, _KEPT))
