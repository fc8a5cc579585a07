"""A file that appears whole: made under a name of its own in the same folder, on space that is taken before."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
"""Of ``posix_fallocate``: the file system or the C library has none."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
"""Of ``link``: FAT, some network and container file systems."""
_STALE = 3600
"""Seconds after which a file that is not grown any more is one of a killed process."""
_AT_ONCE = 1 << 22


@contextmanager
def fresh_file(path: Path, start: bytes, size: int, *, replace: bool) -> Iterator[Path]:
    """A temporary file to fill, which takes the name ``path`` when the block ends and is gone if the block fails.

    Its name is nobody else's, so that several processes at the same file do not meet; who ends first has the name.

    Args:
        path: where it is wanted.
        start: its first bytes.
        size: bytes it has on the disk from the start.
        replace: whether a file of that name is replaced.

    Raises:
        FileExistsError: there is a file of that name meanwhile.
        OSError: the space or the file is not to be had.
    """
    descriptor, temporary = _opened(path)
    try:
        try:
            _remove_stale(path, temporary)
            _write(descriptor, start, 0)
            reserve(descriptor, len(start), size)
        finally:
            os.close(descriptor)
        yield temporary
        if replace:
            temporary.replace(path)
        else:
            _publish(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def reserve(descriptor: int, start: int, end: int) -> None:
    """Take the space of a file from one place to another, which holds zeros then.

    Raises:
        OSError: it is not to be had.
    """
    if end <= start:
        return
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, start, end - start)
            return
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    zeros = bytes(min(_AT_ONCE, end - start))
    for place in range(start, end, _AT_ONCE):
        _write(descriptor, zeros[: end - place], place)


def _write(descriptor: int, content: bytes, place: int) -> None:
    os.lseek(descriptor, place, os.SEEK_SET)
    rest = memoryview(content)
    while rest:
        # A disk that gets full takes a part first.
        rest = rest[os.write(descriptor, rest) :]


def _opened(path: Path) -> tuple[int, Path]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        with suppress(FileExistsError):
            return os.open(temporary, flags, 0o666), temporary


def _remove_stale(path: Path, mine: Path) -> None:
    """Delete what killed processes left of this file, told by times of the same clock: the file system's."""
    now, start = mine.stat().st_mtime, f".{path.name}."
    with suppress(OSError):
        for other in path.parent.iterdir():
            token = other.name.removeprefix(start).removesuffix(".new")
            if other.name == f"{start}{token}.new" and _is_token(token) and now - other.stat().st_mtime > _STALE:
                other.unlink()


def _is_token(text: str) -> bool:
    return len(text) == 8 and set(text) <= set("0123456789abcdef")


def _publish(temporary: Path, path: Path) -> None:
    """Give a file its name, unless there is one of that name."""
    try:
        os.link(temporary, path)
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    # The name is claimed by an empty file, and the file takes its place.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
