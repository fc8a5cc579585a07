"""How much memory this process may still take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has no such limits.
    resource = None

_MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Where the two versions of control groups keep a container's limit, its use, and what of that are files read before,
which the system takes back when it wants to."""


def free_memory() -> int | None:
    """Bytes that can be had: what the machine, the container and ``ulimit -v`` leave; None where none of them tells."""
    found = [*_machine(), *_container(), *_process()]
    return max(0, min(found)) if found else None


def _machine() -> Iterator[int]:
    with suppress(OSError, ValueError, LookupError):
        yield 1024 * _field(_MEMINFO, "MemAvailable")


def _container() -> Iterator[int]:
    for folder, limit, used, files in _GROUPS:
        # A limit that is none is the word "max", or larger than any memory.
        with suppress(OSError, ValueError, LookupError):
            left = int((folder / limit).read_text()) - int((folder / used).read_text())
            yield left + _field(folder / "memory.stat", files)


def _process() -> Iterator[int]:
    if resource is None:
        return
    with suppress(OSError, ValueError, LookupError):
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - 1024 * _field(_STATUS, "VmSize")


def _field(path: Path, name: str) -> int:
    """The number in a line of a file, as in ``MemAvailable:  123 kB`` or ``inactive_file 123``."""
    lines = (line.split() for line in path.read_text().splitlines())
    return int({words[0].rstrip(":"): words[1] for words in lines if len(words) > 1}[name])
