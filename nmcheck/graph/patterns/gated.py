"""Activations written as x times a gate that sees x: what GELU, Swish, HardSwish and Mish have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nmcheck.graph.ir import Graph, Node
from nmcheck.graph.patterns.polynomial import Expansion, expand, expand_inner

GATES = ("Erf", "Tanh", "Sigmoid", "HardSigmoid", "Clip")
_ENDS = ("Mul", "Div", "Add", "Sub")


@dataclass(frozen=True)
class Gated:
    """A value that is ``alone * x + joint * x * gate(argument)``.

    Attributes:
        x: name of x.
        gate: the gate's node.
        alone: coefficient of x.
        joint: coefficient of x times the gate.
        whole: the expansion it was read off, in x and the gate's output.
        argument: what the gate sees.
    """

    x: str
    gate: Node
    alone: float
    joint: float
    whole: Expansion
    argument: Expansion

    @property
    def members(self) -> frozenset[str]:
        """Names of the nodes it was read off."""
        return self.whole.nodes | self.argument.nodes | {self.gate.name}


def gated(graph: Graph, last: Node) -> Iterator[Gated]:
    """The ways to read a node's output as an x with a gate: at most two, for both factors may be gates."""
    if last.op not in _ENDS or last.domain:
        return
    whole = expand(graph, last.outputs[0])
    names = sorted(whole.leaves)
    if len(names) != 2 or any(name not in graph.shapes for name in names):
        return
    for x, seen in (names, reversed(names)):
        gate = graph.producers.get(seen)
        if gate is None or gate.op not in GATES or gate.domain or not _is_inner(graph, seen):
            continue
        terms = dict(whole.terms)
        joint, alone = terms.pop(tuple(names), 0.0), terms.pop((x,), 0.0)
        if joint == 0.0 or terms or graph.shapes[x] != graph.shapes[seen]:
            continue
        if graph.live_inputs(gate) == (gate.inputs[0],):
            yield Gated(x, gate, alone, joint, whole, expand_inner(graph, gate.inputs[0]))


def _is_inner(graph: Graph, value: str) -> bool:
    return len(graph.consumers[value]) == 1 and value not in (graph.output, graph.logits)
