"""Which powers are functions like any other, finite everywhere; torch is not needed to say so."""

from __future__ import annotations

from nmcheck.graph.ir import Graph, Node

EXPONENTS = (2.0, 3.0, 4.0)


def smooth_power(graph: Graph, node: Node) -> bool:
    """Whether a Pow is finite everywhere: one constant exponent of ``EXPONENTS`` that adds no axes."""
    exponent = graph.constants.get(node.inputs[1])
    if exponent is None or exponent.size != 1 or node.inputs[0] in graph.constants:
        return False
    return exponent.ndim <= len(graph.shapes[node.inputs[0]]) and float(exponent.item()) in EXPONENTS
