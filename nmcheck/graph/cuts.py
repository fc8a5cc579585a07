"""ReLUs at which the network can be cut in two, and those that some paths pass by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nmcheck.graph.decomposable import relu_decomposition
from nmcheck.graph.ir import Graph, Node


@dataclass(frozen=True)
class CutPoint:
    """A node around which the network can be linearized: a ReLU, or a ReLU-decomposable activation.

    Attributes:
        node: the node as the file has it; ``decomposable.with_relu_at`` writes its ReLU out.
        kind: ``cut`` if every path from the input to the logits crosses the ReLU, else ``skip``.
    """

    node: Node
    kind: Literal["cut", "skip"]


def cut_points(graph: Graph) -> tuple[CutPoint, ...]:
    """The ReLUs that the logits depend on, those inside ReLU-decomposable activations included, from the input on.

    The ReLU inside an activation is crossed by every path where the node is and nothing inside it leads past the ReLU,
    as the line of a LeakyRelu does.
    """
    crossed = {node.name for node in _crossed(graph)}
    points = []
    for node in _leading_to_logits(graph):
        line = None if is_relu(node) else relu_decomposition(graph, node)
        if line is not None or is_relu(node):
            passed_by = node.name not in crossed or (line is not None and line.is_passed_by)
            points.append(CutPoint(node, "skip" if passed_by else "cut"))
    return tuple(points)


def relu_cuts(graph: Graph) -> tuple[Node, ...]:
    """The ReLU nodes that every path from the input to the logits crosses, from the input on.

    They are the ReLUs among the dominators of the logits: the chain of immediate dominators that leads from the logits
    back to the input. Only paths that carry a derivative count; shape arithmetic is folded already. A graph without
    such a ReLU has no cut, which is a normal result. ReLU-decomposable activations are none here (``cut_points``).
    """
    return tuple(node for node in _crossed(graph) if is_relu(node))


def relu_skips(graph: Graph) -> tuple[Node, ...]:
    """The other ReLU nodes that the logits depend on, from the input on: some paths to the logits pass them by.

    Linearized there, the network has a skip term (``linearize.two_stage``).
    """
    crossed = {node.name for node in relu_cuts(graph)}
    return tuple(node for node in _leading_to_logits(graph) if is_relu(node) and node.name not in crossed)


def is_relu(node: Node) -> bool:
    """Whether the node is a Relu."""
    return node.op == "Relu" and not node.domain


def _crossed(graph: Graph) -> tuple[Node, ...]:
    """The nodes that every path from the input to the logits crosses, from the input on.

    Nodes stand in an order in which values are read after they are written. A node is crossed by every path if no value
    written before it is read behind it.
    """
    if graph.input == graph.logits or graph.logits not in graph.producers:
        return ()
    nodes = _leading_to_logits(graph)
    last_read = {value: place for place, node in enumerate(nodes) for value in graph.live_inputs(node)}
    if graph.input not in last_read:
        return ()
    crossed, furthest = [], last_read[graph.input]
    for place, node in enumerate(nodes):
        if furthest <= place and graph.live_inputs(node):
            crossed.append(node)
        furthest = max(furthest, *(last_read.get(value, -1) for value in node.outputs))
    return tuple(crossed)


def _leading_to_logits(graph: Graph) -> tuple[Node, ...]:
    """The nodes that the logits depend on, in order."""
    needed, found = {graph.logits}, []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(graph.live_inputs(node))
            found.append(node)
    return tuple(reversed(found))
