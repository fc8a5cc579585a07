"""Every path of every command, named wrongly: one sentence, exit code 2 or 3, and nothing is made or lost."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from privileges import modes_count
from run_case import COMMANDS, content

from nmcheck.cli.app import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs links and modes of POSIX files")

INPUTS = (
    "a folder",
    "missing",
    "below a file",
    "a loop",
    "too long",
    "no text",
    "unreadable",
    "below an unreadable one",
)
OUTPUTS = ("a folder", "below nothing", "below a file", "a loop", "too long", "unwritable", "below an unreadable one")
FOLDERS = ("a file", "below a file", "a loop", "too long", "unwritable", "below an unreadable one")

ATTACKS = [
    (command, name, kind)
    for command, entry in COMMANDS.items()
    for names, kinds in ((entry.reads, INPUTS), (entry.writes, OUTPUTS), (entry.fills, FOLDERS))
    for name in names
    for kind in kinds
    # Another of a gate's reports is as the first, and what --init does not read is not looked at.
    if not (command == "gate" and name in ("junit", "sarif", "markdown"))
    if not (command == "gate --init" and name in ("policy", "baseline"))
]


@contextmanager
def bad(kind: str, folder: Path) -> Iterator[Path]:
    """A name that leads nowhere, in a folder of its own."""
    (folder / "file").write_text("mine")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "sealed").mkdir()
    (folder / "sealed" / "file").write_text("mine")
    (folder / "unreadable").write_text("mine")
    paths = {
        "a folder": "folder", "a file": "file", "missing": "missing", "below nothing": "missing/file",
        "below a file": "file/below", "a loop": "loop", "too long": "x" * 300, "no text": "caf\udce9.npz",
        "unreadable": "unreadable", "unwritable": "sealed/new", "below an unreadable one": "sealed/deep/file",
    }  # fmt: skip
    with ExitStack() as stack:
        if kind in ("unreadable", "unwritable", "below an unreadable one"):
            stack.enter_context(modes_count())
            (folder / "unreadable").chmod(0)
            (folder / "sealed").chmod(0o500 if kind == "unwritable" else 0)
            stack.callback((folder / "sealed").chmod, 0o700)
            stack.callback((folder / "unreadable").chmod, 0o600)
        yield folder / paths[kind]


@pytest.mark.parametrize("attack", ATTACKS, ids=" ".join)
def test_a_path_that_leads_nowhere(inputs, tmp_path: Path, capsys, attack: tuple[str, str, str]) -> None:
    command, name, kind = attack
    entry = COMMANDS[command]
    given: dict[str, Path | str] = {key: inputs[key] for key in entry.reads}
    if name in entry.reads and command in ("bank build", "annotate"):
        given["output"] = tmp_path / "output"
    before = content(inputs["model"].parent)
    with bad(kind, tmp_path) as path:
        given[name] = path.with_suffix(".npz") if name == "data" and kind == "missing" else path
        code = run(entry.line(given))
    said = capsys.readouterr()
    assert code in (2, 3), said.err
    assert said.out == ""
    lines = said.err.splitlines()
    assert sum(line.startswith("Error: ") for line in lines) == 1
    assert lines[-1].startswith("Error: ")
    assert "Internal" not in lines[-1]
    assert "xxxxxx" in lines[-1] if kind == "too long" else os.fsencode(path.name)[:3].decode() in lines[-1]
    assert content(inputs["model"].parent) == before
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "loop", "sealed", "unreadable"}
    assert list((tmp_path / "folder").iterdir()) == []
