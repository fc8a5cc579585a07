"""What root may read although its owner may not: put aside, so that tests as root see what users see."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_VERSION = 0x20080522
_OVERRIDE, _READ_SEARCH = 1, 2
"""Of Linux's capabilities."""


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


@contextmanager
def modes_count() -> Iterator[None]:
    """Let the modes of files count inside the block, for root too."""
    if os.name != "posix":
        pytest.skip(reason="needs the modes of POSIX files")
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip(reason="as root, this needs Linux's capabilities")
    system, header, sets = ctypes.CDLL(None, use_errno=True), _Header(_VERSION, 0), (_Sets * 2)()
    assert system.capget(ctypes.byref(header), sets) == 0
    before = sets[0].effective
    sets[0].effective &= ~(1 << _OVERRIDE | 1 << _READ_SEARCH)
    assert system.capset(ctypes.byref(header), sets) == 0
    try:
        yield
    finally:
        sets[0].effective = before
        assert system.capset(ctypes.byref(header), sets) == 0
