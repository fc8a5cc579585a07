import json
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator
from models import model, node, residual, write

from nmcheck.cli.app import run
from nmcheck.results.schema import inspection_schema


@pytest.fixture
def path(tmp_path):
    return str(write(residual(), tmp_path))


def test_json_is_all_of_stdout_and_obeys_the_schema(path, capsys):
    assert run(["inspect", path, "--format", "json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    Draft202012Validator(inspection_schema()).validate(document)
    assert document["model"]["path"] == path
    assert document["analyzable"] == {"execute": True, "moments": True, "bounds": True}
    assert {"op": "Relu", "domain": "", "count": 3, "execute": True, "moments": True, "bounds": True, "reason": ""} in (
        document["operators"]
    )
    assert captured.err == "Reading the model ...\n"


def test_table_and_quiet(path, capsys):
    assert run(["inspect", path, "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("╭─ nmcheck")
    assert "2 cuts, 1 skip" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(("name", "start"), [("markdown", "## nmcheck"), ("html", "<!DOCTYPE html>")])
def test_other_formats(path, capsys, name, start):
    assert run(["inspect", path, "--quiet", "--format", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(start)
    assert "2 cuts, 1 skip" in out


def test_a_file_holds_the_report(path, tmp_path, capsys):
    for name, arguments in (("r.json", ["--format", "json"]), ("r.txt", [])):
        assert run(["inspect", path, *arguments, "-q", "-o", str(tmp_path / name)]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["relus"] == 3
    assert "Operators" in (tmp_path / "r.txt").read_text()
    assert capsys.readouterr().out == ""


def test_what_cannot_be_analysed_is_inspected(tmp_path, capsys):
    odd = write(model([node("Det", ("x",), name="odd")], (1, 3, 3)), tmp_path)
    assert run(["inspect", str(odd), "-q"]) == 0
    assert "execute: node 'odd'" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["inspect", "nowhere.onnx"], 3, "nowhere.onnx"),
        (["inspect"], 2, "MODEL"),
        (["inspect", "m.onnx", "--format", "xml"], 2, "xml"),
        (["inspect", "m.onnx", "--data", "mnist"], 2, "--data"),
        (["inspect", "m.onnx", "-o", "no/folder/r.json"], 3, "cannot be written"),
    ],
)
def test_failures_are_one_sentence_and_their_code(arguments, code, says, capsys):
    assert run([*arguments, *(["-q"] if len(arguments) > 1 else [])]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err


def test_inspecting_loads_neither_data_nor_runtimes(path):
    unwanted = {"torch", "onnxruntime", "sklearn", "h5py", "pooch", "scipy", "nmcheck.data"}
    program = (
        "import sys; from nmcheck.cli.app import run; code = run(sys.argv[1:]);"
        f"print(sorted({unwanted!r} & set(sys.modules)), code, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "inspect", path, "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[] 0"
