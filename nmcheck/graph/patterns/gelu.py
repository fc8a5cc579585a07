"""GELU as exporters spell it out where the operator set has no Gelu (before 20).

    none: 0.5 x (1 + erf(x / sqrt 2))
    tanh: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))

with the factors in any order, sums multiplied out or not, and the cube as Pow or as products. 0.5 and 1 have to be
exact, as they are in every format; the other constants are compared up to their rounding (``polynomial.TOLERANCE``).
"""

from __future__ import annotations

import math
from dataclasses import replace

from nmcheck.graph.ir import Graph
from nmcheck.graph.patterns.gated import Gated, gated
from nmcheck.graph.patterns.polynomial import rounded_note
from nmcheck.graph.patterns.replacement import pattern_node, replaced

_SINCE_VERSION = 20


def with_gelu_recognized(graph: Graph) -> Graph:
    """The graph with each spelled-out GELU as one node, named like the node it ends in.

    Where the file's constants are rounded more than float32 does, a note says so.
    """
    for last in graph.nodes:
        for found in gated(graph, last):
            matched = _approximation(found)
            if matched is None:
                continue
            approximate, deviation = matched
            layer = pattern_node(
                graph, last, found.members, op="Gelu", since_version=_SINCE_VERSION, inputs=(found.x,),
                attributes={"approximate": approximate},
            )  # fmt: skip
            notes = (*graph.notes, *rounded_note(last.name, "Gelu", deviation))
            graph = replace(replaced(graph, layer), notes=notes)
            break
    return graph


def _approximation(found: Gated) -> tuple[str, float] | None:
    """``none`` or ``tanh`` if it is a GELU, and how far its constants are from the exact ones."""
    powers = found.argument.in_powers_of(found.x)
    if powers is None or found.alone != 0.5 or found.joint != 0.5:
        return None
    stated = {
        ("Erf", frozenset({1})): ("none", (math.sqrt(0.5),)),
        ("Tanh", frozenset({1, 3})): ("tanh", (math.sqrt(2 / math.pi), 0.044715)),
    }.get((found.gate.op, frozenset(powers)))
    if stated is None:
        return None
    approximate, constants = stated
    numbers = (powers[1], powers.get(3, 0.0) / powers[1])
    deviations = [found.argument.deviation(n, c) for n, c in zip(numbers, constants, strict=False)]
    known = [deviation for deviation in deviations if deviation is not None]
    return (approximate, max(known)) if len(known) == len(constants) else None
