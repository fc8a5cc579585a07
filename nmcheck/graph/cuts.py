"""ReLUs at which the network can be cut in two, and those that some paths pass by."""

from __future__ import annotations

import networkx as nx

from nmcheck.graph.ir import Graph, Node


def relu_cuts(graph: Graph) -> tuple[Node, ...]:
    """The ReLU nodes that every path from the input to the logits crosses, from the input on.

    They are the ReLUs among the dominators of the logits: the chain of immediate dominators that leads from the logits
    back to the input. Only paths that carry a derivative count; shape arithmetic is folded already. A graph without
    such a ReLU has no cut, which is a normal result.
    """
    if graph.input == graph.logits or graph.logits not in graph.producers:
        return ()
    paths = nx.DiGraph()
    for node in graph.nodes:
        step = ("node", node.name)
        paths.add_edges_from((("value", value), step) for value in graph.live_inputs(node))
        paths.add_edges_from((step, ("value", value)) for value in node.outputs if value)
    start, place = ("value", graph.input), ("value", graph.logits)
    if start not in paths or place not in nx.descendants(paths, start):
        return ()
    # networkx leaves the start out of the result (before 3.6 it dominated itself), so the walk ends at a missing entry.
    dominators = nx.immediate_dominators(paths, start)
    cuts = []
    while place is not None and place != start:
        kind, name = place
        if kind == "node" and _is_relu(graph.by_name[name]):
            cuts.append(graph.by_name[name])
        place = dominators.get(place)
    return tuple(reversed(cuts))


def relu_skips(graph: Graph) -> tuple[Node, ...]:
    """The other ReLU nodes that the logits depend on, from the input on: some paths to the logits pass them by.

    Linearized there, the network has a skip term (``linearize.two_stage``).
    """
    crossed = {node.name for node in relu_cuts(graph)}
    needed, skips = {graph.logits}, []
    for node in reversed(graph.nodes):
        if needed.isdisjoint(node.outputs):
            continue
        needed.update(graph.live_inputs(node))
        if _is_relu(node) and node.name not in crossed:
            skips.append(node)
    return tuple(reversed(skips))


def _is_relu(node: Node) -> bool:
    return node.op == "Relu" and not node.domain
