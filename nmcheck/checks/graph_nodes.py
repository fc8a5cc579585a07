"""The nodes of a graph as records, for whoever draws it."""

from __future__ import annotations

from nmcheck.graph.ir import Graph
from nmcheck.results import GraphNode


def graph_nodes(graph: Graph) -> tuple[GraphNode, ...]:
    """All nodes from the input to the output, in order; constants are left out of what they read."""
    return tuple(
        GraphNode(
            node=node.name,
            index=node.index,
            op=node.op,
            inputs=graph.live_inputs(node),
            outputs=tuple(value for value in node.outputs if value),
            shape=graph.shapes[node.outputs[0]],
            members=node.members,
        )
        for node in graph.nodes
    )
