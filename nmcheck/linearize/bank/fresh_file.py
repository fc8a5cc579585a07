"""A file that appears whole: made under a name of its own in the same folder, on space that is taken before."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmcheck.interruption import held
from nmcheck.temporary import open_temporary, remove, sweep
from nmcheck.whole_file import publish

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
"""Of ``posix_fallocate``: the file system or the C library has none."""
_AT_ONCE = 1 << 22


@contextmanager
def fresh_file(path: Path, start: bytes, size: int, *, replace: bool) -> Iterator[Path]:
    """A temporary file to fill, which takes the name ``path`` when the block ends and is gone if the block fails.

    Its name is nobody else's, so that several processes at the same file do not meet; who ends first has the name. What
    dead runs left in the folder is deleted.

    Args:
        path: where it is wanted; a link is followed.
        start: its first bytes.
        size: bytes it has on the disk from the start.
        replace: whether a file of that name is replaced.

    Raises:
        FileExistsError: there is a file of that name meanwhile.
        OSError: the space or the file is not to be had.
    """
    path = Path(os.path.realpath(path))
    temporary, descriptor = open_temporary(path.parent)
    try:
        try:
            sweep(path.parent, os.fstat(descriptor).st_mtime)
            _write(descriptor, start, 0)
            reserve(descriptor, len(start), size)
        finally:
            os.close(descriptor)
        yield temporary
        with held():
            if replace:
                temporary.replace(path)
            else:
                publish(temporary, path)
    finally:
        remove(temporary)


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
