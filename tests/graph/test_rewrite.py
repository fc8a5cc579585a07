"""Networks without one of their normalization layers."""

import numpy as np
import pytest
import torch
from models import model, node, small_lenet, weights, write
from onnx import helper

from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.graph.rewrite import with_batch_norm_folded, without_node

STATISTICS = ["s", "b", "m", "v"]


def statistics(channels):
    arrays = {name: weights(channels, seed=seed) for seed, name in enumerate(STATISTICS)}
    return {**arrays, "v": np.abs(arrays["v"]) + 0.1}


def norm(source, target, name="bn"):
    return helper.make_node("BatchNormalization", [source, *STATISTICS], [target], name, epsilon=0.01)


def same_network(graph, other):
    samples = torch.from_numpy(weights(3, *graph.shapes[graph.input])).double()
    torch.testing.assert_close(Program(graph, torch.float64)(samples), Program(other, torch.float64)(samples))


def test_lrn_becomes_the_identity(tmp_path):
    lrn = helper.make_node("LRN", ["c"], ["n"], "lrn", size=3, alpha=0.5)
    graph = load_graph(write(small_lenet([lrn]), tmp_path, "with.onnx"))
    plain = load_graph(write(small_lenet(), tmp_path, "plain.onnx"))
    removed = without_node(graph, "lrn")
    assert removed.by_name["lrn"].op == "Identity"
    same_network(removed, plain)
    samples = torch.from_numpy(weights(3, *graph.shapes["x"]))
    assert not torch.allclose(Program(graph)(samples), Program(plain)(samples))


def test_node_that_changes_the_shape_is_no_identity(tmp_path):
    graph = load_graph(write(small_lenet(), tmp_path))
    with pytest.raises(ValueError, match="'pool'"):
        without_node(graph, "pool")
    with pytest.raises(ValueError, match="'nothing'"):
        without_node(graph, "nothing")


def test_folded_into_a_convolution(tmp_path):
    graph = load_graph(write(small_lenet([norm("c", "n")], statistics(4)), tmp_path))
    folded = with_batch_norm_folded(graph, "bn")
    assert [n.name for n in folded.nodes] == ["conv", "pool", "flatten", "hidden", "relu", "classify"]
    assert not set(STATISTICS) & set(folded.constants)
    same_network(graph, folded)


@pytest.mark.parametrize("attributes", [{}, {"transB": 1}, {"alpha": 0.5, "beta": 0.25}, {"beta": 0.0}])
@pytest.mark.parametrize("bias", [True, False])
def test_after_a_dense_layer(tmp_path, attributes, bias):
    w = weights(5, 3) if attributes.get("transB") else weights(3, 5)
    gemm = helper.make_node("Gemm", ["x", "w", "c"] if bias else ["x", "w"], ["z"], "dense", **attributes)
    made = model([gemm, norm("z", "y")], ("N", 3), {"w": w, "c": weights(5), **statistics(5)})
    graph = load_graph(write(made, tmp_path))
    folded = with_batch_norm_folded(graph, "bn")
    assert [n.op for n in folded.nodes] == (["Gemm", "Mul", "Add"] if attributes.get("beta") == 0 else ["Gemm"])
    same_network(graph, folded)


@pytest.mark.parametrize("front", ["input", "relu", "shared", "transposed"])
def test_otherwise_scale_and_shift(tmp_path, front):
    nodes, arrays = {
        "input": ([norm("x", "y")], {}),
        "relu": ([node("Relu", ["x"], ["z"]), norm("z", "y")], {}),
        "shared": (
            [node("Conv", ["x", "K"], ["z"]), norm("z", "n"), node("Add", ["n", "z"])], {"K": weights(4, 4, 1, 1)}
        ),
        "transposed": (
            [node("ConvTranspose", ["x", "K"], ["z"]), norm("z", "y")], {"K": weights(4, 4, 2, 2)}
        ),
    }[front]  # fmt: skip
    graph = load_graph(write(model(nodes, ("N", 4, 3, 3), {**arrays, **statistics(4)}), tmp_path))
    folded = with_batch_norm_folded(graph, "bn")
    assert all(n.op != "BatchNormalization" for n in folded.nodes)
    assert (folded.by_name["bn_scale"].op, folded.by_name["bn"].op) == ("Mul", "Add")
    same_network(graph, folded)


def test_only_batch_normalizations_are_folded(tmp_path):
    graph = load_graph(write(small_lenet(), tmp_path))
    with pytest.raises(ValueError, match="'conv'"):
        with_batch_norm_folded(graph, "conv")


def test_sample_model(sample_models):
    graph = load_graph(sample_models / "lenet_bn.onnx")
    folded = graph
    for layer in [n.name for n in graph.nodes if n.op == "BatchNormalization"]:
        folded = with_batch_norm_folded(folded, layer)
    assert [n.op for n in folded.nodes] == ["Conv", "MaxPool", "Conv", "MaxPool", "Reshape", "Gemm", "Relu", "Gemm"]
    same_network(graph, folded)
