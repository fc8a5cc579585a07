"""Where a report goes: standard output, or a file that is either whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from nmcheck.errors import OutputError


def write_stdout(text: str) -> None:
    """Write a report to standard output."""
    sys.stdout.write(text)
    sys.stdout.flush()


def check_writable(path: Path) -> None:
    """Find out before a long computation whether a report could be written.

    Raises:
        OutputError: if the folder is missing or not writable, or the path is a folder.
    """
    try:
        if not _is_special(path):
            temporary, descriptor = _open_beside(path)
            os.close(descriptor)
            temporary.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def check_folder(folder: Path, option: str) -> None:
    """Make a folder, and find out before a long computation whether files can be written into it.

    Args:
        folder: made with its parents where it is missing.
        option: what named it, for the message.

    Raises:
        OutputError: if it cannot be made, or no file can be made in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary, descriptor = _open_beside(folder / "any")
        os.close(descriptor)
        temporary.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            f"Nothing can be written into the folder {folder}: {reason}; choose another {option}."
        ) from error


@contextmanager
def folders(wanted: Mapping[str, Path | None]) -> Iterator[None]:
    """Folders for files of a long computation, as of ``check_folder``; if it fails, those made for it and empty go.

    Args:
        wanted: by the option that named each; None where it was not given.

    Raises:
        OutputError: if one cannot be made, or no file can be made in it.
    """
    made: list[Path] = []
    try:
        for option, folder in wanted.items():
            if folder is not None:
                made += _missing(folder)
                check_folder(folder, option)
        yield
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def _missing(folder: Path) -> list[Path]:
    """Which of the folder and those it lies in are not there, the outermost first."""
    try:
        return [path for path in (*reversed(folder.parents), folder) if not path.exists()]
    except OSError:
        return []


def write_file(path: Path, text: str) -> None:
    """Write a report: into a temporary file in the same folder, which then takes the name.

    Raises:
        OutputError: if it cannot be written; an older file of that name is then still there, and nothing else.
    """
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file: into a temporary one in the same folder, which then takes the name.

    Raises:
        OutputError: if it cannot be written; an older file of that name is then still there, and nothing else.
    """
    try:
        if _is_special(path):
            path.write_bytes(content)
        else:
            _replace(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write several files so that a failure leaves none of them: all are written aside before any takes its name.

    Raises:
        OutputError: if one cannot be written; older files of these names are then still there.
    """
    waiting: list[tuple[Path, Path]] = []
    try:
        for path, content in files.items():
            try:
                if _is_special(path):
                    path.write_bytes(content)
                else:
                    waiting.append((_written_beside(path.resolve(), content), path.resolve()))
            except OSError as error:
                raise _unwritable(path, error) from error
        for temporary, target in waiting:
            try:
                temporary.replace(target)
            except OSError as error:
                raise _unwritable(target, error) from error
    finally:
        for temporary, _ in waiting:
            with suppress(OSError):
                temporary.unlink()


def append_text(path: Path, text: str) -> None:
    """Append to a file that others write to as well.

    Raises:
        OutputError: if that fails.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _unwritable(path, error) from error


def _replace(path: Path, content: bytes) -> None:
    # Through a symbolic link to what it points at, as a plain write would do.
    target = path.resolve()
    temporary = _written_beside(target, content)
    try:
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _written_beside(target: Path, content: bytes) -> Path:
    """A temporary file in the target's folder with this content and the target's permissions; none if that fails."""
    temporary, descriptor = _open_beside(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o7777)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _open_beside(path: Path) -> tuple[Path, int]:
    """A new file in the folder of ``path``, with the permissions the user's umask gives a new file."""
    temporary = path.resolve().parent / f".nmcheck-{secrets.token_hex(6)}"
    return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _is_special(path: Path) -> bool:
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
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    return not stat.S_ISREG(mode)


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or type(error).__name__
    return OutputError(f"The report cannot be written to {path}: {reason}; choose another --output.")
