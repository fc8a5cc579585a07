"""What moments refuse, checked against the derivative itself."""

import numpy as np
import pytest
import torch
from models import model, node, residual, weights, write
from onnx import TensorProto
from operator_cases import CASES

from nmcheck.execute.program import Program
from nmcheck.execute.table import ROWS
from nmcheck.graph.load import load_graph
from nmcheck.linearize.differentiable import REFUSED, SOMETIMES_REFUSED, moments_refusal, node_refusal


def largest_derivative(graph, points):
    """Of one combination of the outputs, whose weights differ, with respect to any input."""
    function = Program(graph, torch.float64).function(graph.input, graph.output)

    def combined(x):
        y = function(x).flatten()
        return (torch.cos(torch.arange(len(y), dtype=y.dtype)) * y).sum()

    return torch.func.vmap(torch.func.grad(combined))(torch.from_numpy(points).double()).abs().max().item()


@pytest.mark.parametrize("case", [case for case in CASES if case.label != "both"], ids=str)
def test_what_is_not_refused_has_a_derivative_and_steps_have_none(case, tmp_path):
    graph = load_graph(write(case.onnx_model(), tmp_path))
    refused = {node.op for node in graph.nodes if node_refusal(graph, node)}
    derivative = largest_derivative(graph, case.samples(50, graph.shapes[graph.input]))
    if not refused:
        assert derivative > 0
    elif not refused & {"Mod", "ThresholdedRelu", "Shrink", "Where"}:
        assert derivative == 0


@pytest.mark.parametrize("op", ["Mod", "ThresholdedRelu"])
def test_what_jumps_jumps(op, tmp_path):
    made = node(op, ("x", "d"), fmod=1) if op == "Mod" else node(op, ("x",))
    graph = load_graph(write(model([made], (1, 1), {"d": np.ones(1, np.float32)}), tmp_path))
    assert moments_refusal(graph) is not None
    program = Program(graph, torch.float64)
    below, above = program(torch.tensor([[[1 - 1e-9]], [[1 + 1e-9]]], dtype=torch.float64))
    assert abs(above - below) > 0.9


@pytest.mark.parametrize(("bias", "jumps"), [(0.5, False), (0.0, True)])
def test_soft_thresholding_is_continuous_and_hard_is_not(bias, jumps, tmp_path):
    graph = load_graph(write(model([node("Shrink", ("x",), lambd=0.5, bias=bias)], (1, 1)), tmp_path))
    program = Program(graph, torch.float64)
    below, above = program(torch.tensor([[[0.5 - 1e-9]], [[0.5 + 1e-9]]], dtype=torch.float64))
    assert (abs(above - below) > 0.4) == jumps
    assert (moments_refusal(graph) is not None) == jumps


def test_a_choice_by_the_sample_is_refused_and_one_by_a_constant_is_not(tmp_path):
    zero = {"zero": np.zeros(1, np.float32)}
    by_sample = [node("Greater", ("x", "zero"), ("c",)), node("Where", ("c", "x", "zero"), name="pick")]
    graph = load_graph(write(model(by_sample, (1, 4), zero), tmp_path, "sample.onnx"))
    pick = graph.by_name["pick"]
    assert "pick (Where): its condition depends on the sample" in str(node_refusal(graph, pick))
    assert str(moments_refusal(graph)).startswith("Greater_0 (Greater): ")
    mask = {"mask": np.array([True, False, True, False])}
    graph = load_graph(write(model([node("Where", ("mask", "x", "zero"))], (1, 4), zero | mask), tmp_path))
    assert moments_refusal(graph) is None


def test_casts_to_float_pass_and_casts_that_round_do_not(tmp_path):
    for kind, refused in ((TensorProto.DOUBLE, False), (TensorProto.FLOAT16, False), (TensorProto.INT64, True)):
        nodes = [node("Cast", ("x",), ("c",), to=kind), node("Cast", ("c",), to=TensorProto.FLOAT)]
        graph = load_graph(write(model(nodes, (1, 4)), tmp_path))
        assert (moments_refusal(graph) is not None) == refused


def test_casts_like_a_whole_number_do_not_pass(tmp_path):
    for like, refused in ((np.zeros(1, np.float32), False), (np.zeros(1, np.int64), True)):
        nodes = [node("CastLike", ("x", "like"), ("c",)), node("Cast", ("c",), to=TensorProto.FLOAT)]
        graph = load_graph(write(model(nodes, (1, 4), {"like": like}), tmp_path))
        assert (moments_refusal(graph) is not None) == refused


def test_what_stands_behind_the_logits_does_not_count(tmp_path):
    nodes = [node("Gemm", ("x", "W"), ("z",)), node("ArgMax", ("z",), axis=1, keepdims=0)]
    made = model(nodes, (1, 4), {"W": weights(4, 3)}, output_type=TensorProto.INT64)
    graph = load_graph(write(made, tmp_path))
    assert graph.logits == "z"
    assert moments_refusal(graph) is None


def test_products_of_two_live_values_pass(tmp_path):
    nodes = [node("MatMul", ("x", "x"), ("z",)), node("LayerNormalization", ("z", "g"))]
    graph = load_graph(write(model(nodes, (1, 4, 4), {"g": weights(4)}), tmp_path))
    assert moments_refusal(graph) is None


def test_networks_pass(tmp_path, sample_models):
    for path in (write(residual(), tmp_path), *sorted(sample_models.glob("*.onnx"))):
        assert moments_refusal(load_graph(path)) is None


def test_refusals_are_of_rows():
    assert {("", op) for op in {*REFUSED, *SOMETIMES_REFUSED}} <= set(ROWS)
    assert not REFUSED.keys() & SOMETIMES_REFUSED.keys()
