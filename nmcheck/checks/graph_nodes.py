"""The nodes of a graph as records, for whoever draws it."""

from __future__ import annotations

from nmcheck.graph.ir import Graph
from nmcheck.results import GraphNode


def graph_nodes(graph: Graph) -> tuple[GraphNode, ...]:
    """The file's nodes from the input to the output, in order; constants are left out of what they read."""
    # What nmcheck put in is read through.
    through = {node.outputs[0]: graph.live_inputs(node)[0] for node in graph.nodes if node.index < 0}
    return tuple(
        GraphNode(
            node=node.name,
            index=node.index,
            op=node.op,
            inputs=tuple(through.get(value, value) for value in graph.live_inputs(node)),
            outputs=tuple(value for value in node.outputs if value),
            shape=graph.shapes[node.outputs[0]],
            members=node.members,
        )
        for node in graph.nodes
        if node.index >= 0
    )
