"""Numbers that a file leaves out are the float32 numbers of ONNX's definitions, in whatever is computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, weights, write

from nmcheck.bounds.elementwise import elementwise_bound
from nmcheck.execute.program import Program
from nmcheck.graph.defaults import default_numbers
from nmcheck.graph.load import load_graph


@pytest.mark.parametrize(
    ("op", "attribute", "decimal"),
    [("LeakyRelu", "alpha", 0.01), ("HardSigmoid", "alpha", 0.2), ("LRN", "alpha", 1e-4),
     ("BatchNormalization", "epsilon", 1e-5), ("LayerNormalization", "epsilon", 1e-5)],
)  # fmt: skip
def test_they_are_rounded_as_stated_ones_are(op: str, attribute: str, decimal: float) -> None:
    assert default_numbers(op, "", 17)[attribute] == float(np.float32(decimal)) != decimal


def test_bounds_left_out_of_a_clip_do_not_bind() -> None:
    assert default_numbers("Clip", "", 6) == {}


def test_the_first_selu_had_numbers_of_its_own() -> None:
    assert default_numbers("Selu", "", 1) != default_numbers("Selu", "", 6)


def test_stated_or_left_out_is_the_same(tmp_path: Path) -> None:
    found = {}
    for name, attributes in (("stated", {"alpha": 0.01}), ("left-out", {})):
        nodes = [node("LeakyRelu", ["x"], ["h"], **attributes), node("MatMul", ["h", "w"])]
        graph = load_graph(write(model(nodes, ("N", 4), {"w": weights(4, 3)}), tmp_path, f"{name}.onnx"))
        x = -torch.ones((1, *graph.shapes["x"]), dtype=torch.float64)
        activation = Program(graph, torch.float64).activations(x, ["h"])["h"]
        found[name] = activation[0, 0, 0].item(), elementwise_bound(graph.nodes[0]).value, graph.nodes[0].attributes
    assert found["stated"] == found["left-out"]
    assert found["stated"][0] == -float(np.float32(0.01))
