"""How much memory there is for images, and a refusal where they take more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from nmcheck.errors import DataError

_COPIES = 24
"""Bytes that a value takes beside the one that is read: pixels are float64, and two steps of their making are too."""
_PROCESS, _MACHINE = Path("/proc/self/statm"), Path("/proc/meminfo")
_GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def free_memory() -> int | None:
    """Bytes that this process may still take: of the machine, of its container and of its own limit the least.

    None where the system says nothing of them.
    """
    return min(_stated(), default=None)


def check_room(wanted: int, what: str, advice: str, *, free: Callable[[], int | None] = free_memory) -> None:
    """Refuse arrays that there is no memory for, before any of it is taken.

    Args:
        wanted: bytes.
        what: the arrays, with the data's name in front: the subject of the sentence, in the singular.
        advice: what to do instead.
        free: says how much memory there is.

    Raises:
        DataError: it is more than there is.
    """
    room = free()
    if room is not None and wanted > room:
        raise DataError(f"{what} takes {_size(wanted)} of memory, and this machine has {_size(room)} left; {advice}.")


def working_bytes(values: int, itemsize: int) -> int:
    """Bytes that reading so many values and turning them into pixels takes."""
    return values * (itemsize + _COPIES)


def _stated() -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in _MACHINE.read_text().splitlines())
        yield 1024 * int(lines["MemAvailable"].split()[0])
    for limit, used in _GROUPS:
        with suppress(OSError, ValueError):
            # "max" where there is none, which is no number.
            yield max(0, int(limit.read_text()) - int(used.read_text()))
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
        if allowed != resource.RLIM_INFINITY:
            yield max(0, allowed - int(_PROCESS.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE"))


def _size(count: int) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9)):
        if count >= factor:
            return f"{count / factor:,.3g} {unit}" if count < 1e15 else "thousands of TB"
    return f"{count / 1e6:.3g} MB"
