"""A value as a polynomial in the few others it is computed from, however its sums and products are written.

0.5 x (1 + erf(x / 1.414)) is written by exporters in a dozen orders of the same factors. Expanded, they are one
polynomial in x and erf(.), and so are a cube by Pow and one by two products.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from nmcheck.graph.ir import Graph, Node
from nmcheck.graph.scalars import uniform

Terms = Mapping[tuple[str, ...], float]
"""Coefficients by monomial: the names of its factors, sorted, one that is squared twice; () is the constant."""

_OPERATORS = ("Add", "Sub", "Mul", "Div", "Neg", "Pow", "Identity")
_MOST_TERMS = 6
_HIGHEST_DEGREE = 4
_DEEPEST = 16
"""Larger expressions are no pattern; the limits keep the expansion of a whole network from being tried."""

TOLERANCE = 2.0**-7
"""Deviation of a constant from the one it was rounded from, relative to it, up to which it is taken to be that one.

It decides what a function is called, and nothing else: the file's constants are computed with. bfloat16 rounds a number
by up to 2^-9 of it, and products of two such numbers are off by twice that.
"""
UNSAID = 1e-6
"""Deviation up to which it goes without saying that a constant is not exact."""


@dataclass(frozen=True)
class Expansion:
    """A value expanded.

    Attributes:
        terms: the polynomial.
        nodes: names of the nodes it was read off.
    """

    terms: Terms
    nodes: frozenset[str] = frozenset()

    @property
    def leaves(self) -> frozenset[str]:
        """The values it is a polynomial in."""
        return frozenset(name for monomial in self.terms for name in monomial)

    def in_powers_of(self, name: str) -> dict[int, float] | None:
        """Coefficients by power if ``name`` is the only leaf."""
        return {len(monomial): c for monomial, c in self.terms.items()} if self.leaves == {name} else None


def expand(graph: Graph, value: str) -> Expansion:
    """``value`` as a polynomial, by way of the node that writes it and of values that only one node reads.

    Values that several nodes read, the logits and the output stay whole, as does what is no elementwise arithmetic with
    single numbers.
    """
    producer = graph.producers.get(value)
    found = None if producer is None else _node(graph, producer, 0)
    return found or _leaf(value)


def expand_inner(graph: Graph, value: str) -> Expansion:
    """Like ``expand``, but ``value`` itself stays whole, too, where several nodes read it."""
    return _value(graph, value, 0)


def _leaf(value: str) -> Expansion:
    return Expansion({(value,): 1.0})


def _value(graph: Graph, value: str, depth: int) -> Expansion:
    if value in graph.constants:
        number = uniform(graph.constants[value])
        return _leaf(value) if number is None or not np.isfinite(number) else Expansion(_kept({(): number}))
    producer = graph.producers.get(value)
    shared = len(graph.consumers.get(value, ())) != 1 or value in (graph.output, graph.logits)
    if producer is None or shared or depth > _DEEPEST:
        return _leaf(value)
    return _node(graph, producer, depth) or _leaf(value)


def _node(graph: Graph, node: Node, depth: int) -> Expansion | None:
    """What a node computes; None if that is no polynomial, or one too large."""
    if node.domain or node.op not in _OPERATORS:
        return None
    shape = graph.shapes[node.outputs[0]]
    if any(graph.shapes[live] != shape for live in graph.live_inputs(node)):
        return None
    parts = [_value(graph, name, depth + 1) for name in node.inputs]
    terms = _combined(node.op, [part.terms for part in parts])
    if terms is None or len(terms) > _MOST_TERMS or max(map(len, terms), default=0) > _HIGHEST_DEGREE:
        return None
    nodes = frozenset({node.name}).union(*(part.nodes for part in parts))
    return Expansion(terms, nodes)


def _combined(op: str, terms: list[Terms]) -> Terms | None:
    """The polynomial an operator makes of those of its operands; None if it makes none."""
    first, second = terms[0], terms[-1]
    negative = {(): -1.0}
    if op in ("Identity", "Neg"):
        return first if op == "Identity" else _times(first, negative)
    if op in ("Add", "Sub"):
        return _sum((first, second if op == "Add" else _times(second, negative)))
    if op == "Mul":
        return _times(first, second)
    number = second[()] if set(second) == {()} else 0.0
    if op == "Div":
        return _times(first, {(): 1.0 / number}) if number else None
    return _power(first, int(number)) if number in (1.0, 2.0, 3.0) else None


def _power(terms: Terms, exponent: int) -> Terms:
    result = terms
    for _ in range(exponent - 1):
        result = _times(result, terms)
    return result


def _sum(parts: Iterable[Terms]) -> Terms:
    total: dict[tuple[str, ...], float] = {}
    for part in parts:
        for monomial, coefficient in part.items():
            total[monomial] = total.get(monomial, 0.0) + coefficient
    return _kept(total)


def _times(one: Terms, other: Terms) -> Terms:
    return _sum({tuple(sorted((*a, *b))): one[a] * other[b]} for a, b in product(one, other))


def _kept(terms: Terms) -> Terms:
    return {monomial: coefficient for monomial, coefficient in terms.items() if coefficient != 0.0}


def deviation(value: float, stated: float) -> float | None:
    """How far a number of the file is from ``stated``, relatively; None if farther than constants are rounded."""
    found = abs(value - stated) / abs(stated)
    return found if found <= TOLERANCE else None


def rounded_note(name: str, op: str, deviation: float) -> tuple[str, ...]:
    """A sentence about a node whose constants are not those of its operator; none if they are as good as those."""
    if deviation <= UNSAID:
        return ()
    return (
        f"{name} ({op}) is computed with the file's constants, which differ from {op}'s by {deviation:.1e} of them.",
    )
