"""The part of a graph between two of its values."""

from __future__ import annotations

from nmcheck.graph.ir import Graph, Node


def nodes_between(graph: Graph, source: str, target: str) -> tuple[Node, ...]:
    """The nodes that compute ``target`` once ``source`` is given, in order: also those of paths that pass it by."""
    if source == target:
        return ()
    needed, found = {target}, []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            found.append(node)
            needed.update(value for value in graph.live_inputs(node) if value != source)
    return tuple(reversed(found))
