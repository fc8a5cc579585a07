"""Looks over the shoulder of tests: what every command that they run in their own process ends in, writes and opens.

A plugin of pytest, for ``benchmarks/hostile_inputs.py``. What a test asserts of itself is one thing; that no run of a
command ends in an internal error, loses an input, writes something that commands a terminal, or opens a file that is
none of the run's, is asked here of all of them in the same way. Commands run in other processes are not seen.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

INTERNAL = 4
STARTED = "AssertionError: the run was started"
"""What a test's own use cases fail with, to show that a command came so far."""
_OUTPUTS = ("-o", "--output", "--json", "--junit", "--sarif", "--markdown", "--html", "--examples", "--vnnlib",
            "--save-adversarial")  # fmt: skip
_COMMANDS_TO_TERMINALS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_BINARY = (b"\x89HDF", b"\x89PNG", b"PK", b"\x93NUMPY", b"\x08", b"\x0a")
"""How files that are no text begin; ONNX files with one of the last two."""
_UNWATCHED = (
    "tests/cli/test_outside.py",
    "tests/cli/test_folders_of_bounds.py::test_a_run_that_fails_takes_its_empty_folders_away",
)
"""Tests that would see what the watcher reads, and one whose own use case makes folders and fails on purpose."""
_FOR_PROGRAMS = ("instances.csv",)
"""Text files that name files to a program that opens them, and nobody shows."""
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate")
_MOST = 500
"""Files of a folder whose content is compared."""


@dataclass
class Seen:
    """What happened in one test.

    Attributes:
        outcome: passed, failed or skipped.
        codes: exit codes of the commands.
        lost: inputs that are others after the run, or gone.
        escapes: outputs that command a terminal, hide or turn text.
        outside: files opened or changed that are none of the run's.
    """

    outcome: str = ""
    codes: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    escapes: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


class Observer:
    """The plugin."""

    def __init__(self) -> None:
        self.tests: dict[str, Seen] = defaultdict(Seen)
        self._test = ""
        self._base = ""
        self._run: WatchedRun | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Take the places of what the tests are about to import."""
        from nmcheck.cli import app, streams

        run, write = app.run, streams._Stream.write

        def observed(arguments: Sequence[str] | None = None, session: Any = None) -> int:
            return self._observe(lambda: run(arguments, session), arguments)

        def watched(stream: Any, text: str) -> int:
            if self._run is not None:
                self._run.written(text, color=stream.isatty())
            return write(stream, text)

        app.run = observed
        setattr(streams._Stream, "write", watched)  # noqa: B010 - types do not let it be replaced
        factory: Any = session.config._tmp_path_factory  # pyright: ignore[reportAttributeAccessIssue]
        self._base = os.path.realpath(factory.getbasetemp())
        sys.addaudithook(self._audit)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._test = nodeid

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        seen = self.tests[report.nodeid]
        if report.when == "call" or report.outcome != "passed":
            seen.outcome = report.outcome

    def _observe(self, run: Callable[[], int], arguments: Sequence[str] | None) -> int:
        seen = self.tests[self._test]
        if self._test.startswith(_UNWATCHED):
            return run()
        outer, self._run = self._run, WatchedRun(seen, list(arguments or ()), self._base)
        try:
            code = run()
        finally:
            ended, self._run = self._run, outer
        ended.look()
        if not (code == INTERNAL and ended.is_a_test_s_own):
            seen.codes.append(code)
        return code

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._run is not None and (event == "open" or event in _CHANGES):
            self._run.opened(event, arguments)


class WatchedRun:
    """One run of a command."""

    def __init__(self, seen: Seen, words: list[str], base: str) -> None:
        self._seen, self._base = seen, base
        try:
            self._here = str(Path.cwd())
        except OSError:
            self._here = os.devnull  # it has been deleted
        inputs, outputs = set[str](), set[str]()
        for before, word in zip(["", *words], words, strict=False):
            (outputs if before in _OUTPUTS else inputs).update(str(Path(self._here) / path) for path in _paths(word))
        # What is written beside the outputs, and said so in the documentation.
        told = {os.environ[name] for name in ("GITHUB_STEP_SUMMARY", "XDG_CACHE_HOME") if os.environ.get(name)}
        self._outputs = {os.path.realpath(path) for path in outputs | told}
        self._inputs = {os.path.realpath(path) for path in inputs}
        self._before = {path: _digest(path) for top in self._inputs | self._outputs for path in _files(top)}
        self._own = False
        self._looks = True

    def written(self, text: str, *, color: bool) -> None:
        """To a standard stream."""
        self._own |= STARTED in text
        if _COMMANDS_TO_TERMINALS.search(_COLORS.sub("", text) if color else text):
            self._seen.escapes.append(text[:200])

    def opened(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._looks:
            return
        self._looks = False
        try:
            # The second argument of "open" is how, and its first may be the number of what is open already.
            named = arguments[:1] if event == "open" else arguments
            changes = event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            for path in (os.path.realpath(os.fsdecode(one)) for one in named if isinstance(one, str | bytes)):
                if not (self._may_change(path) if changes else self._may_read(path)):
                    self._seen.outside.append(f"{event} {path}")
        finally:
            self._looks = True

    @property
    def is_a_test_s_own(self) -> bool:
        """Whether a test itself has made it fail."""
        return self._own

    def look(self) -> None:
        """At the files when it is over."""
        self._looks = False
        for path, digest in self._before.items():
            if (path in self._inputs or not self._may_change(path)) and _digest(path) != digest:
                self._seen.lost.append(path)
        for top in self._outputs:
            for path in _files(top):
                content = None if _digest(path) == self._before.get(path) else _content(path)
                if content and not content.startswith(_BINARY) and Path(path).name not in _FOR_PROGRAMS:
                    text = content.decode("utf-8", "surrogateescape")
                    if _COMMANDS_TO_TERMINALS.search(text):
                        self._seen.escapes.append(f"{path}: {text[:100]!r}")

    def _may_change(self, path: str) -> bool:
        inside = any(path == one or path.startswith(one + os.sep) for one in self._outputs)
        around = any(one.startswith(path + os.sep) for one in self._outputs)
        beside = Path(path).name.startswith(".nmcheck-") and any(
            Path(path).parent == Path(one).parent for one in self._outputs
        )
        return inside or around or beside or path.startswith("/dev/") or "__pycache__" in path

    def _may_read(self, path: str) -> bool:
        """Of the tests' own files only those of the run; the rest of the machine is Python's and the libraries'."""
        if not path.startswith(self._base + os.sep):
            return True
        near = {str(Path(one).parent) for one in self._inputs if one.endswith(".onnx")} | {self._here}
        return self._may_change(path) or any(
            path == one or path.startswith(one + os.sep) for one in self._inputs | near
        )


def _paths(word: str) -> Iterator[str]:
    """What a word of a command line may name."""
    for one in (word, word.partition(":")[2], word.rpartition(":")[0], word.partition("=")[2]):
        if one and not one.startswith("-") and len(one) < 4000 and "\x00" not in one:
            yield one


def _files(top: str) -> Iterator[str]:
    """A file, or those of a folder."""
    path = Path(top)
    try:
        if path.is_file():
            yield top
        elif path.is_dir() and len(path.parts) > 2:  # no whole disk
            for count, one in enumerate(path.rglob("*")):
                if count >= _MOST:
                    return
                if one.is_file():
                    yield str(one)
    except (OSError, ValueError):
        return


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError):
        return None


def _digest(path: str) -> str | None:
    content = _content(path)
    return None if content is None else hashlib.sha256(content).hexdigest()
