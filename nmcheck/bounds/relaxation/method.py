"""Which method to take: by counting operations, never by the clock, so that the same model always gets the same."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from nmcheck.graph.ir import Graph, Node

METHODS = ("auto", "lipschitz", "crown-ibp", "crown")
"""What may be asked for."""
MOST_OPERATIONS = 2 * 10**11
"""Multiplications and additions of one test of one image with ``crown``, at most, for ``auto`` to take it; a core does
some 10^10 a second."""
_LEAST_ROWS = 32
"""Elements that must fit in the memory budget at a time, going backward from the largest value."""
_COPIES = 20
_FLOAT64 = 8
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_AFFINE_FREE = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Transpose"})


@dataclass(frozen=True)
class Choice:
    """A method, and why it was chosen.

    Attributes:
        method: ``lipschitz``, ``crown-ibp`` or ``crown``.
        reason: a sentence for the user.
    """

    method: str
    reason: str


def choose(asked: str, graph: Graph, refusal: str | None, budget: int) -> Choice:
    """The method to run.

    Args:
        asked: one of ``METHODS``.
        graph: the network.
        refusal: why it cannot be relaxed, or None.
        budget: bytes that coefficients may take at a time.
    """
    if asked != "auto":
        return Choice(asked, f"Method {asked}, as asked for.")
    if refusal is not None:
        return Choice("lipschitz", f"Method lipschitz, because linear relaxation does not apply: {refusal}")
    operations = operation_count(graph)
    rows = budget // (_FLOAT64 * _COPIES * max(map(math.prod, graph.shapes.values())))
    count = f"{operations:.1e} operations a test and image" if operations else "nothing to go back from"
    if operations > MOST_OPERATIONS:
        return Choice("crown-ibp", f"Method crown-ibp: crown would take {count}, more than {MOST_OPERATIONS:.0e}.")
    if rows < _LEAST_ROWS:
        size = f"{budget / 2**20:,.0f} MiB"
        return Choice("crown-ibp", f"Method crown-ibp: for crown, values are too large for a budget of {size}.")
    limit = f", fewer than {MOST_OPERATIONS:.0e}" if operations else ""
    return Choice("crown", f"Method crown: {count}{limit}.")


def operation_count(graph: Graph) -> int:
    """Multiplications of one ``crown`` test if all elements before a non-affine operator had to be gone back from.

    Each is gone back from twice, for its lower and its upper bound, through everything that stands before it. Parabolas
    (``curved``) are not counted; in L2 they take up to twice as many again, where they help.
    """
    behind: dict[str, frozenset[str]] = {graph.input: frozenset()}
    costs = {node.name: node_operations(graph, node) for node in graph.nodes}
    total = 0
    for node in graph.nodes:
        live = graph.live_inputs(node)
        before = frozenset[str]().union(*(behind.get(value, frozenset()) for value in live))
        for value in node.outputs:
            behind[value] = before | {node.name}
        if node.op not in _WEIGHTED | _AFFINE_FREE | {"Add", "Sub", "BatchNormalization", "Concat", "AveragePool"}:
            elements = sum(math.prod(graph.shapes[value]) for value in live if behind.get(value))
            total += 2 * elements * _sum(costs, before)
    return total


def _sum(costs: dict[str, int], names: Iterable[str]) -> int:
    return sum(costs[name] for name in names)


def node_operations(graph: Graph, node: Node) -> int:
    """Multiplications of the node's transpose: a weight is used once for every position it stands at."""
    output = graph.shapes[node.outputs[0]]
    if node.op in _WEIGHTED and any(name in graph.constants for name in node.inputs[:2]):
        if node.op == "Conv":
            return graph.constants[node.inputs[1]].size * math.prod(output[2:])
        if node.op == "ConvTranspose":
            return graph.constants[node.inputs[1]].size * math.prod(graph.shapes[node.inputs[0]][2:])
        left = node.inputs[0]
        shape = graph.constants[left].shape if left in graph.constants else graph.shapes[left]
        return math.prod(output) * shape[0 if node.attributes.get("transA", 0) else -1]
    return 0 if node.op in _AFFINE_FREE else 4 * math.prod(output)
