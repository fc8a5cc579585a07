"""Reports for annotate and view that are broken on purpose: one sentence with the file and the value; exit code 2."""

import json

import drawn_networks
import made_up_gate
import models
import onnx
import pytest
from hostile_text import ATTACKS, check_json, check_visible

from nmcheck.cli.app import run
from nmcheck.graph.load import load_graph
from nmcheck.reports.json import to_json

GOOD = json.loads(to_json(made_up_gate.report()))
VALUES = [
    ("model.path", 3), ("model.fingerprint", ["x"]), ("data.samples", "100"), ("data.samples", 0),
    ("data.samples", 10**399), ("data.accuracy", 1.5), ("data.name", {}), ("graph", {}), ("graph[0]", 3),
    ("graph[0].node", ["x"]), ("graph[0].node", 3), ("graph[0].outputs", "x"), ("graph[0].outputs[0]", ["x"]),
    ("graph[0].shape[0]", 1.5), ("graph[0].index", "0"), ("graph[0].members", [[]]), ("bounds", 3),
    ("bounds[0].norm", 2), ("bounds[0].layers[0].node", {}), ("bounds[0].layers[0].kappa_certified", "0.1"),
    ("bounds[0].layers[0].kappa_certified", True), ("bounds[0].layers[0].lipschitz", 10**399),
    ("bounds[0].layers[0].outputs[0]", {}), ("bounds[0].layers[0].published_sound", "no"),
    ("bounds[0].radius.lipschitz.mean", "0.1"), ("bounds[0].radius.lipschitz.certified", 1), ("bounds[0].radius", []),
    ("moments[0].sigma_pixel", "0.1"), ("moments[0].cut", 3), ("moments[0].overall.mean_er", True),
    ("moments[0].propagation", 3), ("cut_errors[0].node", 3), ("cut_errors[0].kind", "x"),
    ("normalization[0].kind", 3), ("normalization[0].noise_gain[0].gain", "1"), ("normalization[0].outputs", 3),
    ("gate.verdict", "maybe"), ("gate.checks[0].id", 3), ("gate.checks", 3), ("gate.checks[1].waiver.state", "new"),
]  # fmt: skip


@pytest.mark.parametrize("case", VALUES, ids=lambda case: f"{case[0]} {str(case[1])[:12]}")
@pytest.mark.parametrize("command", ["annotate", "view"])
def test_a_value_of_the_wrong_type_or_range(tmp_path, capsys, case, command):
    where, value = case
    document = json.loads(json.dumps(GOOD))
    *parents, last = where.replace("]", "").replace("[", ".").split(".")
    inner = document
    for part in parents:
        inner = inner[int(part) if part.isdigit() else part]
    inner[int(last) if last.isdigit() else last] = value
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document))
    error = refused(tmp_path, capsys, path, command)
    assert where in error


@pytest.mark.parametrize(
    "content",
    [b'{"schema_version": 1e400}', b'{"schema_version": NaN}', b"[" * 200_000, b'{"a": 1, "a": 2}', b"\xff\xff",
     b'{"schema_version": ' + b"1" * 5000 + b"}", b'{"schema_version": true}', b'{"schema_version": 1}', b"\x00"],
)  # fmt: skip
def test_a_file_that_is_no_report(tmp_path, capsys, content):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    refused(tmp_path, capsys, path, "annotate")


def refused(folder, capsys, path, command):
    options = ["--to", "netron", "-o", str(folder / "out")] if command == "annotate" else ["--no-browser"]
    assert run([command, str(folder / "none.onnx"), "--report", str(path), *options]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    check_visible(error)
    assert error.count("\n") == 1
    assert error.startswith(f"Error: {path}: not a JSON report of nmcheck, or a damaged one (")
    return error


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_statements_of_a_report_that_are_attacks_are_notes_and_no_more(tmp_path, capsys, attack):
    """The report names the true nodes, and says hostile things of them."""
    model = models.write(models.mlp(), tmp_path)
    graph = load_graph(model)
    layers = [
        {"node": node.name, "outputs": list(node.outputs), "lipschitz": 2.0, "lipschitz_method": attack,
         "published_statement": attack}
        for node in graph.nodes
    ]  # fmt: skip
    document = drawn_networks.bounds_report(layers, fingerprint=graph.model.fingerprint, path=attack)
    document["data"] = {"name": attack, "samples": 3, "accuracy": 1.0}
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document))
    output = tmp_path / "out.onnx"
    assert run(["annotate", str(model), "--report", str(path), "--to", "onnx", "-o", str(output)]) == 0
    for node in onnx.load(output).graph.node:
        assert all(text.isprintable() for entry in node.metadata_props for text in (entry.key, entry.value))
    assert run(["annotate", str(model), "--report", str(path), "--to", "netron", "-o", str(output)]) == 0
    check_json(output.read_text())
    # Of another model, the sentence names what the report says it is of.
    models_of_others = models.write(models.residual(), tmp_path, "other.onnx")
    capsys.readouterr()
    assert run(["annotate", str(models_of_others), "--report", str(path), "--to", "netron", "-o", str(output)]) == 2
    error = capsys.readouterr().err
    check_visible(error)
    assert error.count("\n") == 1
