"""Files that are either whole or not there: written aside, in the same folder, before they take their names."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nmcheck.interruption import held
from nmcheck.temporary import forget, open_temporary, remove

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
"""Of ``link``: FAT, some network and container file systems."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes its name when the block ends; if that fails, an older one of that name stays.

    A symbolic link is followed, as by a plain write, and a device written into.

    Raises:
        OSError: it cannot be written.
    """
    if is_special(path):
        with path.open("wb") as file:
            yield file
        return
    temporary, target, file = _aside(path)
    try:
        with file:
            yield file
            _finish(file, temporary, target)
        with held():
            temporary.replace(target)
            forget(temporary)
    except BaseException:
        remove(temporary)
        raise


@contextmanager
def whole_files(files: Mapping[Path, bytes], *, replace: bool = True) -> Iterator[None]:
    """Files that are written aside before the block and take their names together after it: none does if either fails.

    Args:
        files: content by name.
        replace: whether files of these names may be replaced.

    Raises:
        FileExistsError: there is one, and may not be replaced.
        OSError: one cannot be written; its ``filename`` says which.
    """
    waiting: list[tuple[Path, Path]] = []
    try:
        for path, content in files.items():
            with _naming(path):
                if is_special(path):
                    path.write_bytes(content)
                    continue
                temporary, target, file = _aside(path)
                waiting.append((temporary, target))
                with file:
                    file.write(content)
                    _finish(file, temporary, target)
        yield
        with held():
            for temporary, target in waiting:
                with _naming(target):
                    if replace:
                        temporary.replace(target)
                        forget(temporary)
                    else:
                        publish(temporary, target)
    finally:
        for temporary, _ in waiting:
            remove(temporary)


def publish(temporary: Path, path: Path) -> None:
    """Give a file a name that no file has; the temporary name is left to be removed.

    Raises:
        FileExistsError: there is one.
        OSError: the name cannot be given.
    """
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
        path.unlink(missing_ok=True)
        raise


def is_special(path: Path) -> bool:
    """Whether the path is something like /dev/null, which must be written into and not replaced.

    Raises:
        IsADirectoryError: if it is a folder.
        OSError: if it cannot be the name of a file.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    return not stat.S_ISREG(mode)


def _aside(path: Path) -> tuple[Path, Path, BinaryIO]:
    """A temporary file beside what a name leads to."""
    target = Path(os.path.realpath(path))
    temporary, descriptor = open_temporary(target.parent)
    return temporary, target, os.fdopen(descriptor, "wb")


def _finish(file: BinaryIO, temporary: Path, target: Path) -> None:
    """Bring all to the disk, and give the file the permissions of an older one."""
    file.flush()
    os.fsync(file.fileno())
    if target.exists():
        temporary.chmod(target.stat().st_mode & 0o7777)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
