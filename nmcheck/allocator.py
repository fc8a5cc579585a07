"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory(most: int, block: int) -> None:
    """Let this process keep freed memory for its next arrays instead of giving it back to the system.

    glibc gives back what is free at the heap's end beyond a small threshold. A loop over arrays of megabytes then has
    them mapped and cleared anew every time: linear relaxation spent a third of its time on that. Does nothing where the
    C library is another.

    Args:
        most: bytes kept at the heap's end.
        block: a larger single array is mapped on its own and given back when it is freed.
    """
    with suppress(OSError, AttributeError, TypeError):  # not glibc
        library = ctypes.CDLL(None)
        library.mallopt(_M_TRIM_THRESHOLD, most)
        library.mallopt(_M_MMAP_THRESHOLD, block)
