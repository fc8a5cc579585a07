import numpy as np
import pytest
import torch
from models import mlp, small_lenet, weights, write

from nmcheck.execute.program import Program
from nmcheck.graph.cuts import relu_cuts
from nmcheck.graph.load import load_graph
from nmcheck.graph.scaling import with_input_scale

ONE, ZERO = np.array(1.0), np.array(0.0)


@pytest.mark.parametrize(
    ("gain", "offset", "names"),
    [
        (np.array(255.0), ZERO, ["input_scale"]),
        (ONE, np.array(-0.5), ["input_shift"]),
        (np.full((1, 1, 1, 1), 2.0), np.linspace(0, 1, 8).reshape(1, 1, 1, 8), ["input_scale", "input_shift"]),
    ],
)
def test_equals_scaling_by_hand(tmp_path, gain, offset, names):
    graph = load_graph(write(small_lenet(), tmp_path))
    scaled = with_input_scale(graph, gain, offset)
    assert [(n.name, n.index) for n in scaled.nodes[: len(names)]] == [(name, -1) for name in names]
    assert scaled.nodes[len(names) :] == graph.nodes
    assert scaled.shapes[scaled.input] == graph.shapes[graph.input]
    assert relu_cuts(scaled) == relu_cuts(graph)
    pixels = weights(3, *graph.shapes["x"]).astype(np.float64)
    ours = Program(scaled, torch.float64)(torch.from_numpy(pixels))
    by_hand = Program(graph, torch.float64)(torch.from_numpy(pixels * gain + offset))
    torch.testing.assert_close(ours, by_hand)


def test_nothing_to_do(tmp_path):
    graph = load_graph(write(mlp(), tmp_path))
    assert with_input_scale(graph, ONE, ZERO) is graph


def test_operand_of_another_shape(tmp_path):
    graph = load_graph(write(mlp(), tmp_path))
    with pytest.raises(ValueError, match="input_scale"):
        with_input_scale(graph, np.ones(6)[:, None] * 2, ZERO)


def test_name_taken_by_the_file(tmp_path):
    made = mlp()
    made.graph.node[0].name = "input_scale"
    scaled = with_input_scale(load_graph(write(made, tmp_path)), np.array(2.0), ZERO)
    assert len({n.name for n in scaled.nodes}) == len(scaled.nodes)
