from dataclasses import replace

import numpy as np
import pytest
import torch
from bounds.networks import Builder, double, weights

from nmcheck.bounds.dense import spectral_norm
from nmcheck.bounds.layers import is_affine, node_bound, unsupported_reason
from nmcheck.errors import UnsupportedError
from nmcheck.graph.ir import Graph, Node


def one_node(op: str, shape, output, constants=(), **attributes) -> tuple[Graph, Node]:
    builder = Builder(shape)
    graph = builder.graph(builder.node(op, "x", output, constants, attributes))
    return graph, graph.nodes[0]


def exact(graph: Graph) -> float:
    function = double(graph).function("x", graph.logits)
    rows = int(np.prod(graph.shapes[graph.logits]))
    origin = torch.zeros(graph.shapes["x"], dtype=torch.float64)
    return spectral_norm(torch.func.jacrev(function)(origin).reshape(rows, -1))


LINEAR = [
    ("Mul", (1, 3, 4), (1, 3, 4), [weights(0, 3, 1)], {}),
    ("Div", (1, 3, 4), (1, 3, 4), [weights(0, 3, 1) + 2], {}),
    ("Add", (1, 1, 4), (1, 3, 4), [weights(0, 3, 1)], {}),
    ("Transpose", (1, 3, 4), (1, 4, 3), [], {"perm": (0, 2, 1)}),
    ("MatMul", (1, 3, 4), (1, 3, 5), [weights(0, 4, 5)], {}),
    ("MatMul", (1, 3, 4), (2, 3, 5), [weights(0, 2, 4, 5)], {}),
    ("MatMul", (2, 3, 4), (2, 3, 5), [weights(0, 2, 4, 5)], {}),
    ("Gemm", (1, 4), (1, 5), [weights(0, 5, 4), weights(1, 5)], {"transB": 1, "alpha": 2.0, "beta": 0.5}),
    ("Neg", (1, 4), (1, 4), [], {}),
]


@pytest.mark.parametrize(("op", "shape", "output", "constants", "attributes"), LINEAR)
def test_linear_operators_cover_their_exact_norm(op, shape, output, constants, attributes):
    graph, node = one_node(op, shape, output, constants, **attributes)
    bound = node_bound(graph, double(graph), node).value
    truth = exact(graph)
    assert truth * (1 - 1e-12) <= bound <= truth * 1.5
    assert is_affine(graph, node)


INDEXED = [
    ("Gather", (1, 4), (1, 3), np.array([0, 2, 2]), {"axis": 1}, np.sqrt(2)),
    ("Expand", (1, 1, 4), (1, 3, 4), np.array([1, 3, 4]), {}, np.sqrt(3)),
    ("Tile", (1, 4), (1, 8), np.array([1, 2]), {}, np.sqrt(2)),
    ("ReduceSum", (1, 4, 3), (1, 1, 3), np.array([1]), {}, 2.0),
    ("ReduceMean", (1, 4, 3), (1, 1, 3), np.array([1]), {}, 0.5),
]


@pytest.mark.parametrize("case", INDEXED, ids=lambda case: case[0])
def test_repetition_and_reduction_are_exact(case):
    op, shape, output, indices, attributes, expected = case
    graph, node = one_node(op, shape, output, [np.zeros(1)], **attributes)
    newest = replace(node, since_version=18)
    graph = replace(graph, nodes=(newest,), constants={node.inputs[1]: np.asarray(indices, dtype=np.int64)})
    assert node_bound(graph, double(graph), newest).value == pytest.approx(expected, rel=2e-6)


UNSUPPORTED = [
    ("LayerNormalization", (1, 4), [np.ones(4), np.zeros(4)], {}),
    ("Softmax", (1, 4), [], {"axis": 1}),
    ("InstanceNormalization", (1, 2, 4), [np.ones(2), np.zeros(2)], {}),
    ("Cast", (1, 4), [], {"to": 7}),
    ("LRN", (1, 4, 2, 2), [], {"size": 3, "bias": 0.0}),
    ("Resize", (1, 1, 4, 4), [], {"mode": "cubic"}),
    ("BatchNormalization", (1, 2, 4), [np.ones(2)] * 4, {"training_mode": 1}),
    ("Reciprocal", (1, 4), [], {}),
]


@pytest.mark.parametrize(("op", "shape", "constants", "attributes"), UNSUPPORTED)
def test_what_has_no_constant_is_refused_by_name(op, shape, constants, attributes):
    graph, node = one_node(op, shape, shape, constants, **attributes)
    reason = unsupported_reason(graph, node)
    assert reason is not None
    assert node.name in reason
    assert not is_affine(graph, node)
    with pytest.raises(UnsupportedError, match=node.name):
        node_bound(graph, double(graph), node)


def test_products_and_quotients_of_activations_are_refused():
    builder = Builder((1, 4))
    active = builder.relu("x")
    product = builder.node("Mul", (active, "x"), (1, 4))
    graph = builder.graph(product)
    reason = unsupported_reason(graph, graph.producers[product])
    assert reason is not None
    assert "Mul_1" in reason
    constant = np.ones((1, 4))
    builder = Builder((1, 4))
    quotient = builder.node("Div", "x", (1, 4), [constant])
    graph = builder.graph(quotient)
    node = graph.nodes[0]
    flipped = Node(node.name, "Div", "", 14, (node.inputs[1], node.inputs[0]), node.outputs, {}, 0)
    reason = unsupported_reason(graph, flipped)
    assert reason is not None
    assert "divides" in reason


def test_a_joint_change_of_several_inputs():
    builder = Builder((1, 4))
    left, right = builder.relu("x"), builder.relu("x")
    total = builder.node("Add", (left, right), (1, 4))
    stacked = builder.node("Concat", (left, right), (1, 8), (), {"axis": 1})
    twice = builder.node("Add", (left, left), (1, 4))
    graph = builder.graph(total)
    bounds = {
        value: node_bound(graph, double(graph), graph.producers[value]).value for value in (total, stacked, twice)
    }
    assert bounds[total] == pytest.approx(np.sqrt(2), rel=2e-6)
    assert bounds[stacked] == 1.0
    assert bounds[twice] == pytest.approx(2, rel=2e-6)
