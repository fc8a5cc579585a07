"""Standard output and standard error of a run, whatever is at their other end.

- What cannot be written to standard output is an error like that of any other output (exit code 3), but for a pipe
  whose reader has gone: who hangs up has read enough, as ``head`` does, and the run ends as if all had been read.
- What cannot be written to standard error is lost, and changes nothing: the exit code says how the run ended.
- Letters that the encoding lacks are written as escapes.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from nmcheck.errors import OutputError


class _Stream:
    """A text stream in the place of the process's own.

    Args:
        stream: that one, of text; None where the process was started with it closed.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._broken = False

    def write(self, text: str) -> int:
        """Write text, of letters that the encoding has."""
        with self._failing():
            self._open().write(self._writable(text))
        return len(text)

    def flush(self) -> None:
        """Hand on what is written, which is nothing where it is closed."""
        if self._stream is not None:
            with self._failing():
                self._open().flush()

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    @property
    def closed(self) -> bool:
        """Whether the process was started without it, or it has been closed since."""
        return self._stream is None or self._stream.closed

    @property
    def encoding(self) -> str:
        """Of its text."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        # Its bytes are not to be reached: typer would write past this object.
        if name in ("buffer", "_stream") or self._stream is None:
            raise AttributeError(name)
        return getattr(self._stream, name)

    def _open(self) -> Any:
        if self._broken:
            return io.StringIO()
        if self._stream is None:
            raise OSError(None, "it is closed")
        return self._stream

    def _writable(self, text: str) -> str:
        try:
            text.encode(self.encoding, getattr(self._stream, "errors", None) or "strict")
        except (UnicodeError, LookupError):
            return text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        return text

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: it has been closed meanwhile
            self._broken = True
            self._discard()
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """What a failure means."""

    def _discard(self) -> None:
        """Let Python, which flushes what is left at its end, write that to nowhere, for else it ends in 120."""
        with suppress(OSError, ValueError, AttributeError):
            number = self._stream.fileno() if self._stream is not None else -1
            if number in (1, 2):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)


class _Output(_Stream):
    def _failed(self, error: Exception) -> None:
        if isinstance(error, BrokenPipeError):
            return
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"Standard output cannot be written to: {reason.rstrip('.')}; send it to another place, or name a file by "
            "--output."
        ) from error


@contextmanager
def standard_streams() -> Iterator[None]:
    """Have ``sys.stdout`` and ``sys.stderr`` behave as this module says."""
    before = sys.stdout, sys.stderr
    output, errors = _Output(sys.stdout), _Stream(sys.stderr)
    sys.stdout, sys.stderr = output, errors  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def check_stdout() -> None:
    """Find out before a long computation that there is no standard output to write a report to.

    Raises:
        OutputError: the process was started with it closed.
    """
    if isinstance(sys.stdout, _Output) and sys.stdout.closed:
        sys.stdout.write("")


def open_descriptors() -> None:
    """Open descriptors 0, 1 and 2 on nothing where they are closed, so that no file of the run gets such a number.

    Libraries write their messages to 1 and 2: into a bank, if that is what has the number.
    """
    while True:
        number = os.open(os.devnull, os.O_RDWR)
        if number > 2:
            os.close(number)
            return
        os.set_inheritable(number, True)
