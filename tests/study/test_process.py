"""The state that a training process is put into."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from tutelage.study.process import keep_memory
if sys.argv[1] == "kept":
    assert keep_memory()

def step():
    torch.ones(10_000_000)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(5):
    step()
before = faults()
for _ in range(50):
    step()
print((faults() - before) / 50)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_step_asks_the_system_for_no_memory_that_the_last_one_had():
    faults = {
        how: float(subprocess.check_output([sys.executable, "-c", FAULTS, how]))
        for how in ("kept", "given back")
    }
    assert faults["kept"] < faults["given back"] / 5


def test_nothing_is_said_to_be_kept_without_glibc(monkeypatch):
    from tutelage.study.process import keep_memory

    monkeypatch.setattr(sys, "platform", "win32")
    assert not keep_memory()


def test_deterministic_kernels_without_filling_new_memory():
    code = (
        "import torch; from tutelage.study.process import prepare_process; prepare_process(); "
        "print(torch.get_deterministic_debug_mode(), torch.get_num_threads(), "
        "torch.utils.deterministic.fill_uninitialized_memory)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "2 1 False\n"
