"""The same network without one of its normalization layers, as a graph of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from nmcheck.graph.ir import Graph, Node

_ELEMENTWISE_SINCE = 7
_IDENTITY_SINCE = 1
_EPSILON = 1e-5


def without_node(graph: Graph, name: str) -> Graph:
    """The graph with a node replaced by the identity, under the same name.

    Args:
        graph: the network.
        name: a node with one live input and one output of the same shape, e.g. an LRN.

    Raises:
        ValueError: the graph has no such node, or its output differs from its input in shape.
    """
    node = _find(graph, name)
    live = graph.live_inputs(node)
    if len(live) != 1 or len(node.outputs) != 1 or graph.shapes[live[0]] != graph.shapes[node.outputs[0]]:
        raise ValueError(f"node '{name}' ({node.op}) cannot be replaced by the identity: its output has another shape")
    identity = replace(node, op="Identity", domain="", since_version=_IDENTITY_SINCE, inputs=live, attributes={})
    return _with_nodes(graph, {name: (identity,)}, {})


def with_batch_norm_folded(graph: Graph, name: str) -> Graph:
    """The graph with a batch normalization folded away; the network computes the same up to rounding.

    With ``s = gamma / sqrt(var + epsilon)`` it is ``x s + (beta - mean s)``, a channel at a time. A Conv or Gemm in
    front whose only reader it is takes ``s`` into its weights and the rest into its bias; otherwise a Mul and an Add
    with constants take its place, the Add under its name.

    Args:
        graph: the network.
        name: a BatchNormalization in inference mode with constant parameters.

    Raises:
        ValueError: the graph has no such node, or its parameters are no constants.
    """
    node = _find(graph, name)
    if node.op != "BatchNormalization" or any(value not in graph.constants for value in node.inputs[1:5]):
        raise ValueError(f"node '{name}' ({node.op}) is no batch normalization with constant parameters")
    gamma, beta, mean, variance = (graph.constants[value].astype(np.float64) for value in node.inputs[1:5])
    scale = gamma / np.sqrt(variance + _number(node, "epsilon", _EPSILON))
    shift = beta - mean * scale
    before = graph.producers.get(node.inputs[0])
    if before is None or not _absorbs(graph, before):
        return _as_mul_add(graph, node, scale, shift)
    fold = _folded_into_conv if before.op == "Conv" else _folded_into_gemm
    weight, bias = fold(graph, before, scale, shift)
    names = (f"{before.name}:weight_with_{name}", f"{before.name}:bias_with_{name}")
    merged = replace(before, inputs=(before.inputs[0], *names), outputs=node.outputs[:1])
    return _with_nodes(graph, {before.name: (merged,), name: ()}, dict(zip(names, (weight, bias), strict=True)))


def _find(graph: Graph, name: str) -> Node:
    if name not in graph.by_name:
        raise ValueError(f"the graph has no node '{name}'")
    return graph.by_name[name]


def _number(node: Node, name: str, default: float) -> float:
    value = node.attributes.get(name, default)
    if not isinstance(value, int | float):
        raise TypeError(f"{node.name}: attribute {name} is {value!r}, not a number")
    return float(value)


def _absorbs(graph: Graph, node: Node) -> bool:
    """Whether the node's weights can take a scale and nothing else reads its output."""
    output = node.outputs[0]
    if node.op not in ("Conv", "Gemm") or node.domain or output in (graph.output, graph.logits):
        return False
    if node.op == "Gemm" and node.attributes.get("beta", 1.0) == 0:
        return False
    constant = graph.live_inputs(node) == (node.inputs[0],)
    return constant and not node.attributes.get("transA", 0) and len(graph.consumers[output]) == 1


def _bias(graph: Graph, node: Node) -> Float[np.ndarray, "..."]:
    name = next(iter(node.inputs[2:]), "")
    return graph.constants[name].astype(np.float64) if name else np.zeros(1)


def _folded_into_conv(
    graph: Graph, node: Node, scale: Float[np.ndarray, " channels"], shift: Float[np.ndarray, " channels"]
) -> tuple[Float[np.ndarray, "channels *kernel"], Float[np.ndarray, " channels"]]:
    weight = graph.constants[node.inputs[1]].astype(np.float64)
    weight = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    return weight, _bias(graph, node) * scale + shift


def _folded_into_gemm(
    graph: Graph, node: Node, scale: Float[np.ndarray, " channels"], shift: Float[np.ndarray, " channels"]
) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "*bias"]]:
    weight = graph.constants[node.inputs[1]].astype(np.float64)
    weight = weight * (scale[:, None] if node.attributes.get("transB", 0) else scale)
    return weight, _bias(graph, node) * scale + shift / _number(node, "beta", 1.0)


def _as_mul_add(
    graph: Graph, node: Node, scale: Float[np.ndarray, " channels"], shift: Float[np.ndarray, " channels"]
) -> Graph:
    shape = graph.shapes[node.inputs[0]]
    channels = (-1, *(1,) * (len(shape) - 2))
    product, mul, add = f"{node.name}:scaled", f"{node.name}:scale", f"{node.name}:shift"
    version = _ELEMENTWISE_SINCE
    nodes = (
        Node(f"{node.name}_scale", "Mul", "", version, (node.inputs[0], mul), (product,), {}, node.index),
        Node(node.name, "Add", "", version, (product, add), node.outputs[:1], {}, node.index),
    )
    constants = {mul: scale.reshape(channels), add: shift.reshape(channels)}
    return _with_nodes(graph, {node.name: nodes}, constants, {product: shape})


def _with_nodes(
    graph: Graph,
    replacements: dict[str, tuple[Node, ...]],
    constants: dict[str, np.ndarray],
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> Graph:
    """The graph with nodes replaced by name; constants and shapes nobody needs any more are dropped."""
    nodes = tuple(new for node in graph.nodes for new in replacements.get(node.name, (node,)))
    read = {value for node in nodes for value in node.inputs} | {graph.output}
    live = {value for node in nodes for value in node.outputs} | {graph.input, graph.output}
    return replace(
        graph,
        nodes=nodes,
        constants={name: array for name, array in {**graph.constants, **constants}.items() if name in read},
        shapes={name: shape for name, shape in {**graph.shapes, **(shapes or {})}.items() if name in live},
    )
