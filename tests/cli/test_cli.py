import errno
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from typing import Any

import made_up_report
import pytest
from typer.testing import CliRunner

from nmcheck.cli.app import app, run
from nmcheck.cli.session import SESSION, Session
from nmcheck.errors import DataError, ModelError, UnsupportedError

COMMAND = [sys.executable, "-c", "from nmcheck.__main__ import main; main()"]


def names(folder):
    return [path.name for path in folder.iterdir()]


class FakeAnalysis:
    """Stands in for the analysis: remembers its options, reports progress, then answers or fails."""

    def __init__(self, failure=None):
        self.failure = failure
        self.options = None

    def __call__(self, options, progress):
        self.options = options
        with progress.stage("Sampling", 2) as advance:
            advance(1)
            advance(1)
        if self.failure is not None:
            raise self.failure
        return made_up_report.report()


def analyze(*arguments, failure=None) -> tuple[int, Any]:
    fake = FakeAnalysis(failure)
    code = run(["analyze", "m.onnx", "--data", "mnist", *arguments], Session(analyze=fake))
    return code, fake.options


def test_defaults_reach_the_analysis():
    code, options = analyze()
    assert code == 0
    assert (options.sigmas, options.cut, options.linearizer) == ((0.05, 0.1), None, "taylor")
    assert options.engines == ("propagate", "two-stage", "published-theorem2")
    assert (options.seed, options.samples, options.reference_samples) == (0, 100, 1500)
    assert (options.scale, options.value_range, options.device) == (None, None, "auto")


def test_every_option_reaches_the_analysis():
    code, options = analyze(
        "--sigma", "0.3", "--sigma", "0.01", "--cut", "relu1", "--engine", "published-lemma4", "--scale", "byte",
        "--range", "-1:1", "--seed", "7", "--samples", "20", "--reference-samples", "500", "--device", "cpu",
        "--residual-samples", "64", "--second-order",
    )  # fmt: skip
    assert code == 0
    assert (options.sigmas, options.cut, options.engines) == ((0.3, 0.01), "relu1", ("published-lemma4",))
    assert (options.scale, options.value_range) == ("byte", (-1.0, 1.0))
    assert (options.seed, options.samples, options.reference_samples, options.device) == (7, 20, 500, "cpu")
    assert (options.residual_samples, options.second_order) == (64, True)
    _, options = analyze("--cut", "best", "--linearizer", "averaged")
    assert (options.cut, options.linearizer) == ("best", "averaged")


def test_typers_own_runner_sees_the_same():
    token = SESSION.set(Session(analyze=FakeAnalysis()))
    result = CliRunner().invoke(app, ["analyze", "m.onnx", "--data", "mnist"])
    SESSION.reset(token)
    assert result.exit_code == 0
    assert "Tightness per class" in result.stdout


def test_stdout_is_the_report_and_nothing_else(capsys):
    analyze("--format", "json")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["schema_version"] == 1
    assert captured.err.splitlines()[0] == "Sampling ..."
    assert captured.err.splitlines()[1].startswith("Warning: Another common scale")
    analyze()
    assert capsys.readouterr().out.startswith("╭─ nmcheck")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize(("name", "start"), [("markdown", "## nmcheck"), ("html", "<!DOCTYPE html>")])
def test_other_formats_in_any_encoding(name, start, encoding):
    report = made_up_report.report()
    odd = replace(report, model=replace(report.model, path="mod\udce9le-\u03c3.onnx"))
    file = TextIOWrapper(BytesIO(), encoding=encoding)
    with redirect_stdout(file):
        code = run(["analyze", "m.onnx", "--data", "mnist", "-q", "--format", name], Session(analyze=lambda *_: odd))
        file.flush()
    assert code == 0
    text = file.buffer.getvalue().decode(encoding)
    assert text.startswith(start)
    # A byte of a name that is no text is shown as what it is.
    assert "mod\\udce9le" in text.replace("\\\\", "\\")
    assert ("\u03c3" if encoding == "utf-8" else "&#963;") in text


def test_quiet_says_nothing_on_stderr(capsys):
    analyze("--quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--sigma", "0"),
        ("--sigma", "-0.1"),
        ("--sigma", "nan"),
        ("--sigma", "inf"),
        ("--sigma", "much"),
        ("--engine", "guess"),
        ("--linearizer", "newton"),
        ("--format", "xml"),
        ("--device", "tpu"),
        ("--samples", "0"),
        ("--samples", "1.5"),
        ("--seed", "-1"),
        ("--reference-samples", "501"),
        ("--reference-samples", "498"),
        ("--range", "1:0"),
        ("--range", "0"),
        ("--range", "0:nan"),
        ("--scale", "bytes"),
        ("--scale", "mean=0:std=0"),
        ("--unknown",),
        ("surplus",),
        ("--data",),
    ],
)
def test_wrong_usage_is_one_sentence_and_2(capsys, arguments):
    code, options = analyze(*arguments)
    captured = capsys.readouterr()
    assert (code, options) == (2, None)
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["analyze"], ["analyze", "m.onnx"], ["bogus"], ["--bogus"]])
def test_what_is_missing_or_unknown(capsys, arguments):
    assert run(arguments, Session(analyze=FakeAnalysis())) == 2
    assert capsys.readouterr().err.count("\n") == 1


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (ModelError("m.onnx is not there."), 3, "m.onnx is not there."),
        (UnsupportedError("Node a has\nop X."), 3, "Node a has op X."),
        (DataError("NaN."), 3, "NaN."),
        (MemoryError(), 3, "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 3, "not enough memory"),
        (MemoryError("Unable to allocate 64.0 GiB for an array"), 3, "needs 64.0 GiB"),
        (MemoryError("Unable to allocate 512. MiB for an array"), 3, "needs 512 MiB"),
        (RuntimeError("DefaultCPUAllocator: you tried to allocate 34359738368 bytes."), 3, "needs 32 GiB"),
        (
            ModelError("node '\x1b[31mred\x1b[0m \u202e' is not\x07 known."),
            3,
            r"'\x1b[31mred\x1b[0m \u202e' is not\x07 known",
        ),
        (ModelError(f"node '{'a' * 5000}' is wrong."), 3, "aaa...aaa"),
        (FULL, 3, "disk is full"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (ValueError("several\nlines"), 4, "Internal error (ValueError: several lines)"),
        (RuntimeError("odd"), 4, "please report it"),
        (OSError("odd"), 4, "please report it"),
        (RecursionError(), 4, "please report it"),
    ],
)
def test_failures_are_one_sentence_and_their_code(capsys, failure, code, says):
    assert analyze("--quiet", failure=failure)[0] == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err


def test_debug_shows_the_traceback(capsys):
    assert run(["--debug", "analyze", "m", "--data", "d"], Session(analyze=FakeAnalysis(ValueError("odd")))) == 4
    assert "Traceback" in capsys.readouterr().err


def test_a_report_file_is_whole_and_alone(tmp_path, capsys):
    path = tmp_path / "report.json"
    assert analyze("--format", "json", "-o", str(path))[0] == 0
    assert json.loads(path.read_text())["seed"] == 0
    assert capsys.readouterr().out == ""
    assert names(tmp_path) == ["report.json"]


@pytest.mark.parametrize("name", ["missing/report.json", "", "x" * 300])
def test_unwritable_output_is_found_before_the_analysis(tmp_path, capsys, name):
    code, options = analyze("-o", str(tmp_path / name))
    assert (code, options) == (3, None)
    assert "cannot be written to" in capsys.readouterr().err
    assert names(tmp_path) == []


def test_a_failed_analysis_leaves_the_old_report(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    assert analyze("-o", str(path), failure=DataError("NaN."))[0] == 3
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.json"]


def test_version_and_help(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("nmcheck ")
    for arguments in ([], ["--help"], ["analyze", "--help"]):
        assert run(arguments) == 0
        captured = capsys.readouterr()
        assert "Usage" in captured.out
        assert captured.err == ""


HEAVY = {"torch", "sklearn", "onnxruntime", "numpy", "onnx", "scipy", "h5py", "pooch"}


@pytest.mark.parametrize("arguments", [["--help"], ["analyze", "--help"], ["--version"], ["analyze", "m"]])
def test_help_loads_nothing_heavy(arguments):
    program = (
        "import sys; from nmcheck.cli.app import run; run(sys.argv[1:]);"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_quiet():
    program = (
        "import sys; sys.path.insert(0, 'tests'); import made_up_report; from nmcheck.cli.app import run;"
        "from nmcheck.cli.session import SESSION, Session;"
        "sys.exit(run(['analyze', 'm', '--data', 'd', '-q'], Session(analyze=lambda o, p: made_up_report.report())))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 0


def test_the_console_script_ends_in_the_exit_code():
    done = subprocess.run([*COMMAND, "analyze"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
