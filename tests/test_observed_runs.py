"""What the watcher of commands sees, and what it lets pass."""

import os
from pathlib import Path

import pytest
from observed_runs import Seen, WatchedRun


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    path = tmp_path / "in" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(b"\x08weights")
    return path


def watched(model: Path, *options: object) -> tuple[Seen, WatchedRun]:
    seen = Seen()
    base = os.path.realpath(model.parents[1])
    return seen, WatchedRun(seen, ["inspect", str(model), *map(str, options)], base)


@pytest.mark.parametrize("by_a_link", [False, True])
def test_an_input_that_is_another_afterwards_is_lost(model: Path, *, by_a_link: bool) -> None:
    output = model.parents[1] / "out" / "report"
    output.symlink_to(model)
    seen, run = watched(model, "-o", output if by_a_link else model)
    output.write_text("a report")
    run.look()
    assert seen.lost == [str(model)]


@pytest.mark.parametrize("text", ["\x1b]0;x\x07", "\x9b31m", "\u202e", "a\rb", "\x1b[31mred\x1b[0m"])
def test_what_commands_a_terminal_is_an_escape(model: Path, text: str) -> None:
    output = model.parents[1] / "out" / "report"
    seen, run = watched(model, "-o", output)
    run.written(text, color=False)
    output.write_text(text, newline="")
    run.look()
    assert len(seen.escapes) == 2


def test_colors_on_a_terminal_are_the_program_s_own(model: Path) -> None:
    seen, run = watched(model)
    run.written("\x1b[31mred\x1b[0m\tand plain\n", color=True)
    assert not seen.escapes
    run.written("\x1b[31mred\x1b[0m\x1b]0;x\x07", color=True)
    assert len(seen.escapes) == 1


def test_files_of_the_run_are_inside_and_others_are_outside(model: Path) -> None:
    out, other = model.parents[1] / "out", model.parents[1] / "other"
    seen, run = watched(model, "-o", out / "report")
    for path, flags in (
        (model, os.O_RDONLY),
        (model.parent / "weights.bin", os.O_RDONLY),
        (out / "report", os.O_WRONLY),
        (out / ".nmcheck-1-2-3-4.tmp", os.O_RDWR | os.O_CREAT),
        ("/etc/hostname", os.O_RDONLY),
    ):
        run.opened("open", (str(path), None, flags))
    run.opened("open", (3, "wb", os.O_WRONLY))
    run.opened("os.rename", (str(out / ".nmcheck-1-2-3-4.tmp"), str(out / "report"), -1, -1))
    assert not seen.outside
    for path, flags in ((model, os.O_WRONLY), (other, os.O_RDONLY), (out / "notes", os.O_WRONLY)):
        run.opened("open", (str(path), None, flags))
    run.opened("os.remove", (str(other), -1))
    assert len(seen.outside) == 4
