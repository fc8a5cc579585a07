"""What HDF5 and the system say when something fails, in one sentence."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmcheck.errors import BankError

_FULL = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EFBIG: "the system allows no file that large here (ulimit -f, or the file system's limit); raise that limit",
    errno.EDQUOT: "the quota of the disk is used up; free some space",
}
_BUSY = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn failures into a sentence.

    Args:
        path: the bank.
        doing: what is done to it: ``made``, ``opened``, ``read``, ``written`` or ``closed``.

    Raises:
        BankError: instead of what HDF5, numpy or the system raise.
    """
    try:
        yield
    except KeyError as error:
        raise BankError(
            f"{path}: the bank is damaged: {_first_line(error)}; delete the file and build it again."
        ) from error
    except FileExistsError as error:
        raise BankError(
            f"{path}: another process has made that file meanwhile, which is left as it is; go on with it by --resume, "
            "or choose another --output."
        ) from error
    except (OSError, RuntimeError, ValueError, TypeError, OverflowError, IndexError) as error:
        raise BankError(f"{path}: the bank cannot be {doing}: {_reason(error, doing)}") from error


def _reason(error: Exception, doing: str) -> str:
    text = str(error)
    stated = re.search(r"errno = (\d+)", text)
    number = int(stated[1]) if stated else getattr(error, "errno", None)
    if number in _FULL:
        # A bank that could not be made is not there to go on with.
        return f"{_FULL[number]}, then {'run the command again' if doing == 'made' else 'go on with --resume'}."
    if number == errno.ENOLCK or "lock file" in text:
        return _about_locks(number)
    if "truncated" in text:
        return "it is shorter than it was made, so it was cut off; copy it again, or delete it and build it again."
    if "signature not found" in text:
        return "it is no HDF5 file; name a file that nmcheck bank build has made."
    if number is not None:
        return _other(number)
    return f"{_first_line(error)}; it is damaged, so delete the file and build it again."


def _about_locks(number: int | None) -> str:
    if number in _BUSY:
        return "another process is building or reading it; wait until that has ended."
    if number in _NO_LOCKS:
        return (
            f"its file system has no locks ({errno.errorcode[number]}), so that two builds could spoil it; put it on a "
            "local disk, or set HDF5_USE_FILE_LOCKING=FALSE and see to it that one process at a time uses it."
        )
    return "it cannot be locked; put it on a local disk." if number is None else _other(number)


def _other(number: int) -> str:
    return f"{os.strerror(number)} ({errno.errorcode.get(number, number)}); choose another file or folder."


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip("'\".")[:200]
