"""Freed memory stays with the process that asks for it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from nmcheck.allocator import keep_freed_memory

COUNTED = """
import resource, numpy
from nmcheck.allocator import keep_freed_memory
if {kept}:
    keep_freed_memory(2**28, 2**25)
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        numpy.ones(2**17)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def page_faults(*, kept: bool) -> int:
    """Of twenty arrays of 1 MB, in small pages, where the environment asks for everything to be given back."""
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", COUNTED.format(kept=kept)]
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again() -> None:
    assert page_faults(kept=False) > 20 * page_faults(kept=True) + 500


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _name: object())
    keep_freed_memory(1, 1)
