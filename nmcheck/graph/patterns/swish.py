"""Swish (SiLU, QuickGELU), HardSwish and Mish decomposed into primitive operators.

    Swish: x sigmoid(alpha x), whatever alpha
    HardSwish: x HardSigmoid(x; 1/6, 1/2), x Clip(x + 3, 0, 6) / 6 or x Clip(x / 6 + 1/2, 0, 1)
    Mish: x tanh(softplus(x))

1/6 is compared up to its rounding (``polynomial.TOLERANCE``) and kept as the file has it (``activation_constants``);
everything else is compared exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nmcheck.graph.activation_constants import HARD_SWISH, HardSwish
from nmcheck.graph.ir import Attribute, Graph
from nmcheck.graph.patterns.gated import Gated, gated
from nmcheck.graph.patterns.polynomial import Expansion, deviation, rounded_note
from nmcheck.graph.patterns.replacement import is_closed, pattern_node, replaced
from nmcheck.graph.scalars import clip_bounds, uniform

_SOFTPLUS_THRESHOLD = 20.0
"""From here on torch's default exporter takes x itself for softplus(x): tanh of either is 1 to 1e-17."""


@dataclass(frozen=True)
class _Activation:
    """What was found, the names of nodes beyond those of the gated product, and how far a 1/6 was off."""

    op: str
    since_version: int
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    deviation: float = 0.0


def with_swish_recognized(graph: Graph) -> Graph:
    """The graph with each Swish, HardSwish or Mish in primitive operators as one node, named like its last."""
    for last in graph.nodes:
        for found in gated(graph, last):
            activation = _activation(graph, found)
            if activation is None:
                continue
            members = found.members | activation.others
            if is_closed(graph, last, members):
                layer = pattern_node(
                    graph, last, members, op=activation.op, since_version=activation.since_version, inputs=(found.x,),
                    attributes=activation.attributes,
                )  # fmt: skip
                notes = (*graph.notes, *rounded_note(last.name, activation.op, activation.deviation))
                graph = replace(replaced(graph, layer), notes=notes)
                break
    return graph


def _activation(graph: Graph, found: Gated) -> _Activation | None:
    if found.alone != 0.0:
        return None
    powers = found.argument.in_powers_of(found.x)
    if found.gate.op == "Sigmoid" and powers is not None and set(powers) == {1} and found.joint == 1.0:
        return _Activation("Swish", 24, {"alpha": powers[1]})
    if found.gate.op in ("HardSigmoid", "Clip") and powers is not None and set(powers) <= {0, 1}:
        constants = _hard_swish(graph, found, powers.get(1, 0.0), powers.get(0, 0.0))
        off = None if constants is None else deviation(constants.slope, HARD_SWISH.slope)
        return (
            None
            if constants is None or off is None
            else _Activation("HardSwish", 14, constants.attributes, deviation=off)
        )
    if found.gate.op == "Tanh" and found.joint == 1.0:
        softplus = _softplus(graph, found.argument, found.x)
        return None if softplus is None else _Activation("Mish", 18, others=softplus)
    return None


def _hard_swish(graph: Graph, found: Gated, slope: float, shift: float) -> HardSwish | None:
    """The constants, if all but the 1/6 are HardSwish's."""
    if found.gate.op == "HardSigmoid":
        alpha, beta = found.gate.attributes.get("alpha", 0.2), found.gate.attributes.get("beta", 0.5)
        fits = beta == 0.5 and (slope, shift, found.joint) == (1.0, 0.0, 1.0)
        return HardSwish(alpha, 0.5, 1.0) if fits and isinstance(alpha, float) else None
    bounds = clip_bounds(graph, found.gate)
    if bounds == (0.0, 6.0) and (slope, shift) == (1.0, 3.0):
        return HardSwish(found.joint, 3 * found.joint, 6 * found.joint)
    if bounds == (0.0, 1.0) and (shift, found.joint) == (0.5, 1.0):
        return HardSwish(slope, shift, 1.0)
    return None


def _softplus(graph: Graph, argument: Expansion, x: str) -> frozenset[str] | None:
    """Names of the nodes that compute softplus(x) if that is the one value the gate sees."""
    seen = next(iter(argument.leaves), "")
    node = graph.producers.get(seen)
    if node is None or node.domain or argument.in_powers_of(seen) != {1: 1.0}:
        return None
    if node.op == "Softplus":
        return frozenset({node.name}) if node.inputs == (x,) else None
    if node.op != "Where" or node.inputs[1] != x:
        return None
    greater, softplus = (graph.producers.get(node.inputs[position]) for position in (0, 2))
    if greater is None or softplus is None or (greater.op, softplus.op) != ("Greater", "Softplus"):
        return None
    threshold = graph.constants.get(greater.inputs[1])
    if greater.inputs[0] != x or softplus.inputs != (x,) or threshold is None:
        return None
    return frozenset({node.name, greater.name, softplus.name}) if uniform(threshold) == _SOFTPLUS_THRESHOLD else None
