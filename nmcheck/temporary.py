"""Temporary files beside the files they become. Their names say whose they are, so that those of dead runs can go.

A name holds the machine (with its boot and its PID namespace, for containers share folders), the process and when that
began, for process numbers are used again. Only what is known to be of a dead process is deleted; of another machine's,
what nobody has touched for a day.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import stat
import zlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_NAME = re.compile(r"\.nmcheck-([0-9a-f]{8})-([0-9]{1,10})-([0-9]{1,20})-[0-9a-f]{8}\.tmp.*", re.DOTALL)
_STALE = 86_400
"""Seconds after which a file of another machine is one of a dead run."""
_BOOT, _NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")

_made: dict[Path, int] = {}
"""Those that are there, and the process that made them: a forked one knows them, too, and has to leave them."""


def open_temporary(folder: Path, ending: str = "") -> tuple[Path, int]:
    """A new, empty file to write and read, with the permissions that the user's umask gives a new file.

    Args:
        folder: where.
        ending: of its name.

    Raises:
        OSError: it cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    process = os.getpid()
    while True:
        path = folder / f".nmcheck-{_machine()}-{process}-{_born(process) or 0}-{secrets.token_hex(4)}.tmp{ending}"
        # Known before it is there: whatever moment the run is interrupted at, it is deleted.
        _made[path] = process
        try:
            return path, os.open(path, flags, 0o666)
        except FileExistsError:
            del _made[path]
        except BaseException:
            remove(path)
            raise


def forget(path: Path) -> None:
    """It has another name now."""
    _made.pop(path, None)


def remove(path: Path) -> None:
    """Delete one, if it is there."""
    with suppress(OSError):
        path.unlink()
    forget(path)


def remove_all() -> None:
    """Delete those of this process that are still there."""
    for path, process in list(_made.items()):
        if process == os.getpid():
            remove(path)


def sweep(folder: Path, now: float) -> None:
    """Delete what dead runs have left in a folder.

    Args:
        folder: where.
        now: by the clock of its file system: when a file was made there just now.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found is None:
                continue
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and _is_dead(found, now - status.st_mtime):
                    Path(entry.path).unlink()


def _is_dead(name: re.Match[str], age: float) -> bool:
    """Whether the process that a name speaks of has ended."""
    if name[1] != _machine():
        return age > _STALE
    process, born = int(name[2]), int(name[3])
    # Windows' kill would end it.
    if os.name != "posix":
        return age > _STALE
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # another user's
    return _born(process) not in (None, born) and born != 0


@lru_cache(maxsize=1)
def _machine() -> str:
    """Eight digits that are the same for processes that can see each other."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(_BOOT.read_text())
    with suppress(OSError):
        parts.append(str(_NAMESPACE.readlink()))
    return f"{zlib.crc32(' '.join(parts).encode(errors='replace')):08x}"


def _born(process: int) -> int | None:
    """When a process began, in clock ticks since the machine did; None where the system does not say."""
    try:
        # Behind the name, which may hold anything, in parentheses.
        return int(Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
