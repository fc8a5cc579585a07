"""GELU as exporters spell it out where the operator set has no Gelu (before 20).

    none: 0.5 x (1 + erf(x / sqrt 2))
    tanh: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))

with the factors in any order, sums multiplied out or not, and the cube as Pow or as products. 0.5 and 1 have to be
exact, as they are in every format; the other constants are compared up to their rounding (``polynomial.TOLERANCE``) and
kept as the file has them (``activation_constants``).
"""

from __future__ import annotations

from dataclasses import replace

from nmcheck.graph.activation_constants import GELU, TANH_GELU, Gelu
from nmcheck.graph.ir import Graph
from nmcheck.graph.patterns.gated import Gated, gated
from nmcheck.graph.patterns.polynomial import deviation, rounded_note
from nmcheck.graph.patterns.replacement import pattern_node, replaced

_SINCE_VERSION = 20


def with_gelu_recognized(graph: Graph) -> Graph:
    """The graph with each GELU in primitive operators as one node, named like the node it ends in.

    Where the file's constants are rounded more than float32 does, a note says so.
    """
    for last in graph.nodes:
        for found in gated(graph, last):
            matched = _constants(found)
            if matched is None:
                continue
            constants, off = matched
            layer = pattern_node(
                graph, last, found.members, op="Gelu", since_version=_SINCE_VERSION, inputs=(found.x,),
                attributes=constants.attributes,
            )  # fmt: skip
            notes = (*graph.notes, *rounded_note(last.name, "Gelu", off))
            graph = replace(replaced(graph, layer), notes=notes)
            break
    return graph


def _constants(found: Gated) -> tuple[Gelu, float] | None:
    """The constants if it is a GELU, and how far they are from the exact ones."""
    powers = found.argument.in_powers_of(found.x)
    if powers is None or found.alone != 0.5 or found.joint != 0.5:
        return None
    exact = {("Erf", frozenset({1})): GELU, ("Tanh", frozenset({1, 3})): TANH_GELU}.get(
        (found.gate.op, frozenset(powers))
    )
    if exact is None:
        return None
    constants = Gelu(exact.approximate, powers[1], powers.get(3, 0.0))
    off = [deviation(constants.linear, exact.linear)]
    if exact.cubic:
        # The number that people write is the quotient.
        off.append(deviation(constants.cubic / constants.linear, exact.cubic / exact.linear))
    known = [found for found in off if found is not None]
    return (constants, max(known)) if len(known) == len(off) else None
