import json

import drawn_networks
import models
import onnx
import pytest

from nmcheck.cli.app import run
from nmcheck.graph.load import load_graph


@pytest.fixture
def model(tmp_path):
    return models.write(models.residual(), tmp_path)


@pytest.fixture
def report(model, tmp_path):
    graph = load_graph(model)
    layers = [
        {"node": node.name, "outputs": list(node.outputs), "kappa_certified": 0.1 * (i + 1), "lipschitz": 2.0}
        for i, node in enumerate(graph.nodes)
    ]
    path = tmp_path / "report.json"
    path.write_text(json.dumps(drawn_networks.bounds_report(layers, fingerprint=graph.model.fingerprint)))
    return path


def annotate(*arguments):
    return run(["annotate", *map(str, arguments)])


def test_onnx_holds_the_results_and_the_model_is_untouched(model, report, tmp_path, capsys):
    before = model.read_bytes()
    out = tmp_path / "out.onnx"
    assert annotate(model, "--report", report, "--to", "onnx", "-o", out) == 0
    assert capsys.readouterr().out == ""
    made = onnx.load(out)
    assert made.ir_version == onnx.load(model).ir_version
    told = {node.name: {entry.key: entry.value for entry in node.metadata_props} for node in made.graph.node}
    assert told["g0"] == {"nm.kappa": "0.100", "nm.L": "2.00"}
    assert told["add"]["nm.kappa"] == "0.500"
    assert model.read_bytes() == before
    assert annotate(model, "--report", report, "--to", "onnx", "-o", out, "--ir-version", "10") == 0
    assert onnx.load(out).ir_version == 10


def test_the_other_two_are_json_by_node_name(model, report, tmp_path):
    out = tmp_path / "out.json"
    assert annotate(model, "--report", report, "--to", "netron", "-o", out) == 0
    document = json.loads(out.read_text())
    assert {"kind": "node", "target": "r1", "name": "nm.L", "value": 2.0} in document["metrics"]
    assert annotate(model, "--report", report, "--to", "model-explorer", "-o", out) == 0
    assert json.loads(out.read_text())["results"]["g0"]["value"] == 0.1
    assert annotate(model, "--report", report, "--to", "model-explorer", "-o", out, "--metric", "L") == 0
    assert json.loads(out.read_text())["results"]["g0"]["value"] == 2.0


def test_refusals_are_sentences_and_leave_nothing(model, report, tmp_path, capsys):
    other = models.write(
        models.model([models.node("Relu", ["x"], ["out"])], (2, 3), outputs=["out"]), tmp_path, "other.onnx"
    )
    out = tmp_path / "out.onnx"
    assert annotate(other, "--report", report, "--to", "onnx", "-o", out) == 2
    assert "report of another model" in capsys.readouterr().err
    assert annotate(other, "--report", report, "--to", "onnx", "-o", out, "--force") == 2
    assert "none of its layers is in" in capsys.readouterr().err
    assert annotate(model, "--report", report, "--to", "onnx", "-o", model) == 2
    assert "is the model itself, which is only read" in capsys.readouterr().err
    (tmp_path / "link.onnx").symlink_to(model)
    assert annotate(model, "--report", report, "--to", "onnx", "-o", tmp_path / "link.onnx") == 2
    assert annotate(model, "--report", report, "--to", "onnx", "-o", tmp_path / "no" / "out.onnx") == 3
    assert annotate(model, "--report", report, "--to", "model-explorer", "-o", out, "--metric", "beauty") == 2
    assert "it has: kappa, L." in capsys.readouterr().err
    assert annotate(model, "--report", report, "--to", "onnx", "-o", out, "--ir-version", "3") == 3
    assert annotate(model, "--report", report, "--to", "picture", "-o", out) == 2
    assert not out.exists()


def test_an_annotated_model_can_be_annotated_again(model, report, tmp_path):
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    assert annotate(model, "--report", report, "--to", "onnx", "-o", first) == 0
    # The notes make no other model of it.
    assert annotate(first, "--report", report, "--to", "onnx", "-o", second) == 0
    assert second.read_bytes() == first.read_bytes()


def test_other_metadata_of_a_node_count_as_before(model, tmp_path):
    made = onnx.load(model)
    made.graph.node[0].metadata_props.add(key="other", value="1")
    onnx.save(made, tmp_path / "other.onnx")
    assert load_graph(tmp_path / "other.onnx").model.fingerprint != load_graph(model).model.fingerprint
