"""Cuts are the ReLUs on every path, in order."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from models import mlp, model, node, residual, small_lenet, weights, write
from onnx import helper
from residual_network import residual_network

from nmcheck.graph.cuts import relu_cuts, relu_skips
from nmcheck.graph.load import load_graph


def cuts(made, folder):
    return [cut.name for cut in relu_cuts(load_graph(write(made, folder)))]


def test_chain(tmp_path):
    assert cuts(mlp(), tmp_path) == ["relu0", "relu1"]
    assert cuts(small_lenet(), tmp_path) == ["relu"]


def test_skip_path_is_no_cut(tmp_path):
    assert cuts(residual(), tmp_path) == ["r0", "r2"]


def test_parallel_branches_are_no_cuts(tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "left"),
        helper.make_node("Neg", ["x"], ["n"]),
        helper.make_node("Relu", ["n"], ["b"], "right"),
        helper.make_node("Concat", ["a", "b"], ["y"], axis=1),
    ]
    assert cuts(model(nodes, ("N", 3)), tmp_path) == []


def test_without_relu(tmp_path):
    assert cuts(model([node("LeakyRelu", ["x"])], ("N", 3)), tmp_path) == []


def test_relu_as_last_node_and_relu_behind_the_logits(tmp_path):
    gemm = node("Gemm", ["x", "w"], ["z"])
    assert cuts(model([gemm, node("Relu", ["z"])], ("N", 4), {"w": weights(4, 3)}), tmp_path) == ["Relu_1"]
    tail = [gemm, node("Relu", ["z"], ["r"]), node("Softmax", ["r"])]
    assert cuts(model(tail, ("N", 4), {"w": weights(4, 3)}), tmp_path) == ["Relu_1"]


def paths(graph, value):
    """All paths from the input to a value, as lists of node names."""
    if value == graph.input:
        return [[]]
    node = graph.producers[value]
    return [[*path, node.name] for source in graph.live_inputs(node) for path in paths(graph, source)]


def tangled(seed):
    """Relus and sums of random earlier values, some of which lead nowhere."""
    pick = np.random.default_rng(seed)
    values, nodes = ["x"], []
    for number in range(12):
        recent = values[-3:]
        one, other = (recent[i] for i in pick.integers(len(recent), size=2))
        value = f"v{number}"
        nodes.append(node("Relu", [one], [value]) if pick.random() < 0.6 else node("Add", [one, other], [value]))
        values.append(value)
    gemm = node("Gemm", [values[-1 - pick.integers(3)], "w"])
    return model([*nodes, gemm], ("N", 4), {"w": weights(4, 3)})


@pytest.mark.parametrize("seed", range(30))
def test_equals_the_definition_in_tangled_graphs(tmp_path, seed):
    test_equals_the_definition(tmp_path, tangled(seed))


@pytest.mark.parametrize(
    "made", [mlp(), residual(), small_lenet(), residual_network()], ids=["mlp", "residual", "lenet", "blocks"]
)
def test_equals_the_definition(tmp_path, made):
    graph = load_graph(write(made, tmp_path))
    every = paths(graph, graph.logits)
    on_all = [n.name for n in graph.nodes if n.op == "Relu" and all(n.name in path for path in every)]
    assert [cut.name for cut in relu_cuts(graph)] == on_all
    on_some = [n.name for n in graph.nodes if n.op == "Relu" and any(n.name in path for path in every)]
    assert [skip.name for skip in relu_skips(graph)] == [name for name in on_some if name not in on_all]


def test_skips_are_the_other_relus_of_the_logits(tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "left"),
        helper.make_node("Neg", ["x"], ["n"]),
        helper.make_node("Relu", ["n"], ["b"], "right"),
        helper.make_node("Concat", ["a", "b"], ["c"], axis=1),
        helper.make_node("Relu", ["c"], ["y"], "end"),
    ]
    graph = load_graph(write(model(nodes, ("N", 3)), tmp_path))
    assert [[n.name for n in found] for found in (relu_cuts(graph), relu_skips(graph))] == [["end"], ["left", "right"]]


def test_a_relu_behind_the_logits_is_neither(tmp_path):
    nodes = [node("Gemm", ["x", "w"], ["z"]), node("Relu", ["z"], ["y"])]
    graph = load_graph(write(model(nodes, ("N", 4), {"w": weights(4, 3)}), tmp_path))
    before = replace(graph, logits="z")
    assert relu_cuts(before) == relu_skips(before) == ()


def test_shared_models(shared_models):
    wanted = {
        "marabou__cifar_deep_kw": 5,
        "misc__germanov_mnist": 4,
        "dnnv__mnist_relu_3_50": 3,
        "marabou__yizhak_net": 0,
    }
    for name, count in wanted.items():
        found = relu_cuts(load_graph(shared_models / f"{name}.onnx"))
        assert len(found) == count
        assert all(first.index < second.index for first, second in pairwise(found))
    # Six of the seven ReLUs stand in residual branches.
    assert [cut.name for cut in relu_cuts(load_graph(shared_models / "dnnv__dronet.onnx"))] == ["activation_7/Relu:0"]
