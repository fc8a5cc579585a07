"""ReLU-decomposable activations: written out they compute the same, and what passes the ReLU by is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import model, node, weights, write
from onnx import NodeProto, helper

from nmcheck.execute.program import Program
from nmcheck.graph.cuts import cut_points, relu_cuts, relu_skips
from nmcheck.graph.decomposable import relu_decomposition, with_relu_at
from nmcheck.graph.ir import Graph
from nmcheck.graph.load import load_graph

ZERO, LOW, HIGH = (np.array(value, dtype=np.float32) for value in (0, -0.4, 0.7))


def network(folder: Path, activation: NodeProto, arrays: dict[str, np.ndarray] | None = None, opset: int = 17) -> Graph:
    """Gemm, the activation of ``z`` to ``h``, Gemm; 6 inputs, 5 units, 3 logits."""
    nodes = [
        node("Gemm", ["x", "A", "a"], ["z"]),
        activation,
        node("Gemm", ["h", "B", "b"]),
    ]
    own = {"A": weights(6, 5), "a": weights(5), "B": weights(5, 3), "b": weights(3)}
    return load_graph(write(model(nodes, ("N", 6), {**own, **(arrays or {})}, opset=opset), folder))


def act(op: str, *operands: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, ["z", *operands], ["h"], "act", **attributes)


SLOPES, BOUNDS = weights(5), weights(5, seed=1)
# Operands, attributes, kind, operator set, names of the nodes it becomes.
FORMS = {
    "leaky": (act("LeakyRelu", alpha=0.1), {}, "skip", ["act_relu", "act_gain", "act_slope", "act"]),
    "steep": (act("LeakyRelu", alpha=3.0), {}, "skip", ["act_relu", "act_gain", "act_slope", "act"]),
    "bent down": (act("LeakyRelu", alpha=-0.5), {}, "skip", ["act_relu", "act_gain", "act_slope", "act"]),
    "flat": (act("LeakyRelu", alpha=0.0), {}, "cut", ["act"]),
    "per channel": (act("PRelu", "s"), {"s": SLOPES}, "skip", ["act_relu", "act_gain", "act_slope", "act"]),
    "relu6": (
        act("Clip", "lo", "hi"), {"lo": ZERO, "hi": HIGH}, "skip",
        ["act_relu", "act_upper", "act_upper_relu", "act"],
    ),
    "clip": (
        act("Clip", "lo", "hi"), {"lo": LOW, "hi": HIGH}, "skip",
        ["act_kinked", "act_relu", "act_upper", "act_upper_relu", "act_capped", "act"],
    ),
    "from below": (act("Clip", "lo"), {"lo": LOW}, "cut", ["act_kinked", "act_relu", "act"]),
    "from zero": (act("Clip", "lo"), {"lo": ZERO}, "cut", ["act"]),
    "from above": (act("Clip", "", "hi"), {"hi": HIGH}, "cut", ["act_kinked", "act_relu", "act_gain", "act"]),
    "infinite": (
        act("Clip", "lo", "hi"), {"lo": LOW, "hi": np.array(np.inf, np.float32)}, "cut",
        ["act_kinked", "act_relu", "act"],
    ),
    "largest float": (
        act("Clip", "lo", "hi"), {"lo": np.array(np.finfo(np.float32).min), "hi": HIGH}, "cut",
        ["act_kinked", "act_relu", "act_gain", "act"],
    ),
    "maximum": (act("Max", "c"), {"c": BOUNDS}, "cut", ["act_kinked", "act_relu", "act"]),
    "maximum of zero": (act("Max", "c"), {"c": ZERO}, "cut", ["act"]),
    "of several": (act("Max", "c", "d"), {"c": BOUNDS, "d": LOW}, "cut", ["act_kinked", "act_relu", "act"]),
    "minimum": (act("Min", "c"), {"c": BOUNDS}, "cut", ["act_kinked", "act_relu", "act_gain", "act"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_written_out_it_computes_the_same(tmp_path: Path, name: str) -> None:
    activation, arrays, kind, names = FORMS[name]
    graph = network(tmp_path, activation, arrays)
    (point,) = cut_points(graph)
    assert (point.node, point.kind) == (graph.by_name["act"], kind)
    written, relu = with_relu_at(graph, point.node)
    assert [n.name for n in written.nodes][1:-1] == names
    assert relu.op == "Relu"
    assert relu in written.nodes
    assert (relu in relu_cuts(written), relu in relu_skips(written)) == (kind == "cut", kind == "skip")
    assert written.by_name["act"].outputs == graph.by_name["act"].outputs
    x = torch.from_numpy(weights(200, 1, 6)).double()
    ours = Program(written, torch.float64)
    torch.testing.assert_close(ours(x), Program(graph, torch.float64)(x), rtol=1e-12, atol=1e-12)
    values = ours.activations(x, [relu.inputs[0]])[relu.inputs[0]]
    assert (values > 0).any()
    assert (values < 0).any()
    assert {value for node in written.nodes for value in node.outputs} | {"x"} == set(written.shapes)
    assert all(value in written.shapes or value in written.constants for n in written.nodes for value in n.inputs)


@pytest.mark.parametrize("opset", [7, 10])
def test_bounds_by_attribute(tmp_path: Path, opset: int) -> None:
    graph = network(tmp_path, act("Clip", min=-0.3, max=3.4028234663852886e38), opset=opset)
    (point,) = cut_points(graph)
    assert point.kind == "cut"
    written, _ = with_relu_at(graph, point.node)
    x = torch.from_numpy(weights(50, 1, 6)).double()
    torch.testing.assert_close(Program(written, torch.float64)(x), Program(graph, torch.float64)(x))


NONE = {
    "identity": (act("LeakyRelu", alpha=1.0), {}),
    "slopes of one": (act("PRelu", "s"), {"s": np.ones(5, np.float32)}),
    "slopes of nan": (act("PRelu", "s"), {"s": np.full(5, np.nan, np.float32)}),
    "no bounds": (act("Clip"), {}),
    "bounds crossed": (act("Clip", "lo", "hi"), {"lo": HIGH, "hi": LOW}),
    "bounds equal": (act("Clip", "lo", "hi"), {"lo": LOW, "hi": LOW}),
    "a bound of nan": (act("Clip", "lo"), {"lo": np.array(np.nan, np.float32)}),
    "everything capped": (act("Clip", "lo", "hi"), {"lo": LOW, "hi": np.array(-np.inf, np.float32)}),
    "all of it": (act("Max", "c"), {"c": np.array(-np.inf, np.float32)}),
    "two live values": (act("Max", "z"), {}),
    "a slope that is live": (act("PRelu", "z"), {}),
    "absolute": (act("Abs"), {}),
}


@pytest.mark.parametrize("name", NONE)
def test_others_are_none(tmp_path: Path, name: str) -> None:
    activation, arrays = NONE[name]
    graph = network(tmp_path, activation, arrays)
    assert cut_points(graph) == ()
    assert relu_decomposition(graph, graph.by_name["act"]) is None
    with pytest.raises(ValueError, match=r"'act' \(.*\) is no ReLU and not ReLU-decomposable"):
        with_relu_at(graph, graph.by_name["act"])


def test_a_relu_is_itself(tmp_path: Path) -> None:
    graph = network(tmp_path, act("Relu"))
    assert relu_decomposition(graph, graph.by_name["act"]) is None
    assert with_relu_at(graph, graph.by_name["act"]) == (graph, graph.by_name["act"])


def test_names_that_are_taken_get_the_index_appended(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("LeakyRelu", ["x"], ["a"], "act"),
        helper.make_node("Neg", ["a"], ["y"], "act_relu"),
    ]
    graph = load_graph(write(model(nodes, ("N", 4)), tmp_path))
    written, relu = with_relu_at(graph, graph.by_name["act"])
    assert relu.name == "act_relu_0"
    assert [n.name for n in written.nodes] == ["act_relu_0", "act_gain", "act_slope", "act", "act_relu"]


def test_a_maximum_that_widens_its_input(tmp_path: Path) -> None:
    graph = network(tmp_path, act("Max", "c"), {"c": weights(4, 5)})
    written, relu = with_relu_at(graph, graph.by_name["act"])
    assert written.shapes[relu.outputs[0]] == (4, 5)
    x = torch.from_numpy(weights(20, 1, 6)).double()
    torch.testing.assert_close(Program(written, torch.float64)(x), Program(graph, torch.float64)(x))


def test_beside_a_shortcut_a_one_sided_clip_is_a_skip(tmp_path: Path) -> None:
    nodes = [node("Clip", ["x", "lo"], ["c"], name="clip"), node("Add", ["c", "x"])]
    graph = load_graph(write(model(nodes, ("N", 4), {"lo": LOW}), tmp_path))
    assert [(point.node.name, point.kind) for point in cut_points(graph)] == [("clip", "skip")]


def test_cut_points_are_in_the_order_of_the_graph(tmp_path: Path) -> None:
    nodes = [
        node("LeakyRelu", ["x"], ["a"], name="one"),
        node("Gemm", ["a", "A"], ["b"]),
        node("Relu", ["b"], ["c"], name="two"),
        node("Clip", ["c", "", "hi"], ["d"], name="three"),
        node("Neg", ["d"], ["y"]),
        node("LeakyRelu", ["y"], ["dead"], name="behind"),
    ]
    graph = load_graph(write(model(nodes, ("N", 4), {"A": weights(4, 4), "hi": HIGH}), tmp_path))
    assert [(p.node.name, p.kind) for p in cut_points(graph)] == [("one", "skip"), ("two", "cut"), ("three", "cut")]
