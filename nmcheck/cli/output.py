"""Where a report goes: standard output, or a file that is either whole or not there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nmcheck.errors import OutputError
from nmcheck.interruption import check
from nmcheck.temporary import open_temporary, remove, sweep
from nmcheck.whole_file import is_special, whole_files


def write_stdout(text: str) -> None:
    """Write a report to standard output.

    Raises:
        OutputError: it cannot be written. A reader who has gone has read enough, and is no failure.
    """
    check()
    if text:
        sys.stdout.write(text)
        sys.stdout.flush()


def check_writable(path: Path, option: str = "--output") -> None:
    """Find out before a long computation whether a report could be written, and delete what dead runs left beside it.

    Args:
        path: the report.
        option: what named it, for the message.

    Raises:
        OutputError: if the folder is missing or not writable, or the path is a folder.
    """
    try:
        if not is_special(path):
            _try_folder(Path(os.path.realpath(path)).parent)
    except OSError as error:
        raise _unwritable(path, error, option) from error


def check_folder(folder: Path, option: str) -> None:
    """Make a folder, and find out before a long computation whether files can be written into it.

    What dead runs left in it is deleted.

    Args:
        folder: made with its parents where it is missing.
        option: what named it, for the message.

    Raises:
        OutputError: if it cannot be made, or no file can be made in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _try_folder(folder)
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


def tidy(folder: Path) -> None:
    """Delete what dead runs left in a folder, if that can be done."""
    with suppress(OSError):
        _try_folder(folder)


def write_file(path: Path, text: str) -> None:
    """Write a report that is either whole or not there.

    Raises:
        OutputError: if it cannot be written; an older file of that name is then still there, and nothing else.
    """
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there.

    Raises:
        OutputError: if it cannot be written; an older file of that name is then still there, and nothing else.
    """
    with all_written({path: content}):
        pass


@contextmanager
def all_written(files: Mapping[Path, bytes], *, replace: bool = True) -> Iterator[None]:
    """Write several files so that a failure, of the block too, leaves none: they take their names when it has ended.

    Args:
        files: content by name.
        replace: whether files of these names may be replaced.

    Raises:
        OutputError: if one cannot be written; older files of these names are then still there.
    """
    check()
    with ExitStack() as stack:
        with _explained():
            stack.enter_context(whole_files(files, replace=replace))
        yield
        with _explained():
            stack.close()


def append_text(path: Path, text: str, named_by: str) -> None:
    """Append to a file that others write to as well.

    Args:
        path: the file.
        text: what to append.
        named_by: what named it, for the message.

    Raises:
        OutputError: if that fails.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _unwritable(path, error, named_by) from error


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        pass  # the reader of a pipe with a name, who has read enough
    except OSError as error:
        raise _unwritable(Path(error.filename), error, "--output") from error


def _try_folder(folder: Path) -> None:
    temporary, descriptor = open_temporary(folder)
    try:
        made = os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        remove(temporary)
    sweep(folder, made)


def _unwritable(path: Path, error: OSError, option: str) -> OutputError:
    reason = error.strerror or type(error).__name__
    return OutputError(f"The report cannot be written to {path}: {reason}; choose another {option}.")
