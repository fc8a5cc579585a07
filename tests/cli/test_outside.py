"""No command reads or writes anything but the files of its run, as far as Python sees it; C libraries are not seen."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from run_case import COMMANDS, content

from nmcheck.cli.app import run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX paths")

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate")
SENDS = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec")


class Seen:
    """What happens while it watches.

    Attributes:
        read: files opened for reading.
        changed: files opened for writing, and those renamed, deleted and so on.
        sent: events that leave the process.
    """

    watching: "Seen | None" = None

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.changed: set[str] = set()
        self.sent: set[str] = set()

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes):
                writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                (self.changed if writes else self.read).add(os.path.realpath(os.fsdecode(path)))
        elif event in CHANGES:
            self.changed.update(
                os.path.realpath(os.fsdecode(path)) for path in arguments if isinstance(path, str | bytes)
            )
        elif event in SENDS:
            self.sent.add(event)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if Seen.watching is not None:
        Seen.watching.note(event, arguments)


@contextmanager
def watched() -> Iterator[Seen]:
    if not _INSTALLED:
        # A hook stays to the end of the process, so it looks only while it is asked to.
        sys.addaudithook(_hook)
        _INSTALLED.append(True)
    Seen.watching = seen = Seen()
    try:
        yield seen
    finally:
        Seen.watching = None


_INSTALLED: list[bool] = []
QUICK = {
    "bounds": ["--method", "lipschitz", "--epsilon", "0.1", "--attack", "fgs"],
    "compare": ["--method", "lipschitz", "--attack", "none"],
}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "view"])
def test_only_the_files_of_the_run_are_opened(inputs, tmp_path: Path, command: str) -> None:
    entry, there = COMMANDS[command], inputs["model"].parent
    place = tmp_path / "place"
    place.mkdir()
    (place / "decoy.json").write_text("{}")
    (place / "nmcheck.toml").write_text("not this one")
    reads = {name: inputs[name] for name in entry.reads}
    if command == "gate":
        del reads["baseline"]
    outputs = {name: place / name for name in (*entry.writes, *entry.fills)}
    line = entry.line({**reads, **outputs}) + QUICK.get(command, [])
    before = content(there)
    with watched() as seen:
        assert run(line) in (0, 1)
    assert content(there) == before
    base = os.path.realpath(tmp_path.parent)
    allowed = {os.path.realpath(path) for path in (*reads.values(), *outputs.values(), inputs["weights"])}
    read = {path for path in seen.read if path.startswith(base)}
    assert read <= allowed | {path for path in read if Path(path).name.startswith(".nmcheck-")}
    folders = tuple(str(outputs[name]) + os.sep for name in entry.fills)
    for path in seen.changed - {os.devnull}:
        inside = path in allowed - {os.path.realpath(one) for one in reads.values()} or path.startswith(folders)
        assert inside or (Path(path).name.startswith(".nmcheck-") and Path(path).parent == place), path
    assert not seen.sent
    assert {path.name for path in place.iterdir()} <= {*outputs, "decoy.json", "nmcheck.toml"}
