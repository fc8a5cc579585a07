"""Whatever is at the other end of standard output and standard error, a run ends in the code that says how it went."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import made_up_comparison
import made_up_gate
import made_up_report
import pytest
from forked import forked

from nmcheck.checks.gate.propose import Proposal
from nmcheck.checks.gate.run import GateResult
from nmcheck.cli.app import run
from nmcheck.cli.messages import say
from nmcheck.cli.output import write_stdout
from nmcheck.cli.session import Session
from nmcheck.cli.streams import open_descriptors, standard_streams
from nmcheck.cli.viewers import GROUP


def show_address(model: Any, overlay: Any, *, port: int, open_browser: bool) -> None:
    """Stands in for a viewer."""
    print("http://127.0.0.1:1/")


@pytest.fixture(autouse=True)
def own_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "made_up_viewer", sys.modules[__name__])


REPORT = replace(made_up_report.report((0.1,), ("two-stage",)), flips=(), cut_errors=())
COMPARISON = made_up_comparison.comparison()
GATE = GateResult(made_up_gate.report(path="sample_models/σ.onnx"), {}, made_up_gate.pictures())


def session() -> Session:
    """Measures nothing; what it answers has letters that ASCII lacks, and a gate that fails."""
    return Session(
        analyze=lambda options, progress: REPORT,
        bounds=lambda options, progress: REPORT,
        compare=lambda options, progress: COMPARISON,
        gate=lambda options, progress: GATE,
        propose=lambda options, progress: Proposal("# σ\n", 1, 2),
        viewers=lambda: (EntryPoint("netron", "made_up_viewer:show_address", GROUP),),
    )


LINES = {
    "help": ["--help"],
    "version": ["--version"],
    "inspect": ["inspect", "MODEL"],
    "analyze": ["analyze", "MODEL", "--data", "DATA"],
    "bounds": ["bounds", "MODEL", "--data", "DATA", "--format", "json"],
    "bank build": [
        "bank",
        "build",
        "MODEL",
        "--data",
        "DATA",
        "-k",
        "2",
        "--kernels",
        "native",
        "-o",
        "BANK",
        "--resume",
        "--store",
        "full",
    ],
    "bank info": ["bank", "info", "BANK"],
    "bank verify": ["bank", "verify", "BANK", "MODEL"],
    "compare": ["compare", "MODEL", "MODEL", "--data", "DATA"],
    "gate": ["gate", "MODEL", "--data", "DATA", "--policy", "POLICY"],
    "gate --init": ["gate", "--init", "MODEL", "--data", "DATA"],
    "annotate": ["annotate", "MODEL", "--report", "REPORT", "--to", "netron", "-o", os.devnull],
    "view": ["view", "MODEL", "--report", "REPORT"],
    "usage error": ["analyze", "MODEL", "--data", "DATA", "--sigma", "-1"],
    "missing model": ["inspect", "nowhere.onnx", "-o", os.devnull],
}
CODES = dict.fromkeys(LINES, 0) | {"gate": 1, "usage error": 2, "missing model": 3}
SILENT = ("bank build", "annotate", "usage error", "missing model")
"""These write nothing to standard output."""


class Broken(io.RawIOBase):
    """A file that fails when it is written to, as long as it has an error."""

    def __init__(self, number: int | None) -> None:
        self.number = number

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        if self.number is not None:
            raise OSError(self.number, os.strerror(self.number))
        return len(content)


@contextmanager
def broken(monkeypatch: pytest.MonkeyPatch, name: str, how: str, encoding: str = "utf-8") -> Iterator[None]:
    """Standard output or standard error with something the matter."""
    if how == "closed":
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, None)
            yield
        return
    raw = Broken({"gone": errno.EPIPE, "full": errno.ENOSPC, "well": None}[how])
    # As Python opens them: errors by the line, reports by the buffer.
    stream = io.TextIOWrapper(io.BufferedWriter(raw, 64), encoding=encoding, line_buffering=name == "stderr")
    try:
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, stream)
            yield
    finally:
        raw.number = None
        stream.close()


def words(line: str, inputs: dict[str, Path]) -> list[str]:
    paths = {"MODEL": "model", "DATA": "data", "BANK": "bank", "POLICY": "policy", "REPORT": "report"}
    return [str(inputs[paths[word]]) if word in paths else word for word in LINES[line]]


@pytest.mark.parametrize("how", ["gone", "full", "closed"])
@pytest.mark.parametrize("line", LINES)
def test_standard_error_changes_nothing(inputs, monkeypatch, capsys, line: str, how: str) -> None:
    with broken(monkeypatch, "stderr", how):
        assert run(words(line, inputs), session()) == CODES[line]
    assert bool(capsys.readouterr().out) == (line not in SILENT)


@pytest.mark.parametrize("how", ["gone", "full", "closed"])
@pytest.mark.parametrize("line", LINES)
def test_standard_output_that_fails_is_an_unwritable_output_but_a_reader_who_has_gone_has_read_enough(
    inputs, monkeypatch, capsys, line: str, how: str
) -> None:
    with broken(monkeypatch, "stdout", how):
        code = run(words(line, inputs), session())
    said = capsys.readouterr().err
    if how == "gone" or line in SILENT:
        assert code == CODES[line]
        assert "Standard output" not in said
    else:
        assert code == 3
        assert said.splitlines()[-1].startswith("Error: Standard output cannot be written to: ")


@pytest.mark.parametrize("line", ["help", "inspect", "gate", "missing model"])
def test_both_gone(inputs, monkeypatch, line: str) -> None:
    with broken(monkeypatch, "stdout", "gone"), broken(monkeypatch, "stderr", "gone"):
        assert run(words(line, inputs), session()) == CODES[line]


@pytest.mark.parametrize(
    ("line", "encoding"), [*((line, "ascii") for line in LINES), ("gate", "utf-16"), ("inspect", "cp1252")]
)
def test_letters_that_an_encoding_lacks_are_no_failure(inputs, monkeypatch, line: str, encoding: str) -> None:
    with broken(monkeypatch, "stdout", "well", encoding), broken(monkeypatch, "stderr", "well", encoding):
        assert run(words(line, inputs), session()) == CODES[line]


def test_a_closed_output_is_found_before_the_work(inputs, monkeypatch) -> None:
    def called(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(sys, "stdout", None)
    assert run(words("analyze", inputs), Session(analyze=called)) == 3


def test_a_report_in_a_file_needs_no_standard_output(inputs, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    for line in ("analyze", "bounds", "compare", "gate"):
        assert run([*words(line, inputs), "-o", str(tmp_path / line)], session()) == CODES[line]
        assert (tmp_path / line).stat().st_size > 1000


def test_reports_of_a_gate_stay_as_they_were_if_standard_output_fails(inputs, monkeypatch, tmp_path: Path) -> None:
    files = {option: tmp_path / option for option in ("json", "junit", "sarif", "markdown", "html")}
    for path in files.values():
        path.write_text("old")
    line = [*words("gate", inputs), *(word for option, path in files.items() for word in (f"--{option}", str(path)))]
    with broken(monkeypatch, "stdout", "full"):
        assert run(line, session()) == 3
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}
    assert run(line, session()) == 1
    assert "old" not in {path.read_text() for path in tmp_path.iterdir()}


def test_a_summary_that_cannot_be_written_names_the_variable(inputs, monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert run([*words("gate", inputs), "--json", str(tmp_path / "gate.json")], session()) == 3
    assert "choose another GITHUB_STEP_SUMMARY" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_text_is_written_as_escapes(monkeypatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with standard_streams():
        write_stdout("σ \udce9\n")
    assert raw.getvalue() == b"\\u03c3 \\udce9\n"


def test_an_interruption_does_not_fall_between_a_sentence_and_its_end(monkeypatch) -> None:
    written: list[str] = []
    stream = io.StringIO()
    monkeypatch.setattr(stream, "write", written.append)
    monkeypatch.setattr(sys, "stderr", stream)
    say("A sentence.")
    assert written[0] == "A sentence.\n"
    assert "".join(written) == "A sentence.\n"


def test_streams_are_put_back(capsys) -> None:
    before = sys.stdout, sys.stderr
    run(["--version"])
    assert (sys.stdout, sys.stderr) == before


def test_a_pipe_of_a_command_s_own_that_breaks_is_no_failed_gate(inputs, capsys) -> None:
    """typer ends in 1 then, which would mean that a gate failed."""

    def broke(*_: Any) -> Any:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    assert run(words("analyze", inputs), Session(analyze=broke)) == 3
    assert "A pipe to another process broke" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX descriptors")
def test_closed_descriptors_are_opened_on_nothing() -> None:
    def closed() -> None:
        os.closerange(0, 3)
        open_descriptors()
        nothing = Path(os.devnull).stat()
        assert all(os.path.samestat(os.fstat(number), nothing) for number in range(3))

    assert forked(closed) == 0
