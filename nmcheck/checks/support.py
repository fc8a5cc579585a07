"""Who can deal with which node: the consumers' own tables, asked node by node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from nmcheck.bounds.layers import unsupported_reason
from nmcheck.checks.relaxable import relaxation_refusal
from nmcheck.execute.outline import execution_refusal
from nmcheck.graph.between import nodes_between
from nmcheck.graph.ir import Graph, Node
from nmcheck.linearize.differentiable import node_refusal

CONSUMERS = ("execute", "moments", "bounds")
"""Who reads the graph, in the order in which one builds on the other."""
NEEDED = {"execute": CONSUMERS, "moments": ("moments",), "bounds": ("bounds",)}
"""What is not possible where a consumer refuses: without execution, nothing."""

Refusals = Mapping[str, str]
"""A sentence by consumer or by node; one that is missing refuses nothing, or is not refused."""


@dataclass(frozen=True)
class Support:
    """What each consumer says about a graph.

    Attributes:
        nodes: refusals of each node, by node name; those of bounds are by Lipschitz constants.
        relaxation: what linear relaxation, the other way to a certified radius, says about each node it refuses.
        network: refusals of the network as a whole.
    """

    nodes: Mapping[str, Refusals]
    relaxation: Refusals
    network: Refusals


def support_of(graph: Graph) -> Support:
    """Ask every consumer about every node, and about the network.

    Nothing is run, and of the weights only the shapes matter.
    """
    before_logits = {node.name for node in nodes_between(graph, graph.input, graph.logits)}
    nodes = {node.name: _refusals(graph, node, analysed=node.name in before_logits) for node in graph.nodes}
    relaxation = {
        node.name: sentence
        for node in graph.nodes
        if node.name in before_logits and "execute" not in nodes[node.name]
        if (sentence := relaxation_refusal(graph, node)) is not None
    }
    network: dict[str, str] = {}
    if graph.logits in graph.constants:
        sentence = (
            f"the logits '{graph.logits}' are constant, so neither noise nor any other change of the input moves them"
        )
        network = {"moments": sentence, "bounds": sentence}
    elif prod(graph.shapes[graph.logits]) < 2:
        sentence = f"output '{graph.logits}' has a single value, so there is no other class the label could change to"
        network = {"moments": sentence, "bounds": sentence}
    return Support(nodes, relaxation, network)


def _refusals(graph: Graph, node: Node, *, analysed: bool) -> Refusals:
    execution = execution_refusal(graph, node)
    if execution is not None:
        return {"execute": execution}
    if not analysed:
        return {}
    found = {"moments": node_refusal(graph, node), "bounds": unsupported_reason(graph, node)}
    return {consumer: sentence for consumer, sentence in found.items() if sentence is not None}
