"""A row of the operator table: which operator, how it is executed, and what kind of function it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from nmcheck.execute.operands import Function, Operands
from nmcheck.graph.ir import Graph, Node


class Kind(Enum):
    """What an operator is as a function of its live inputs together.

    SHAPE moves elements about without computing and is therefore affine, too.
    """

    AFFINE = "affine"
    PIECEWISE_LINEAR = "piecewise linear"
    SMOOTH = "smooth"
    SHAPE = "shape"


KindRule = Callable[[Node, Graph], Kind]


@dataclass(frozen=True)
class OperatorRow:
    """One operator.

    Attributes:
        op: operator type.
        kind: its kind where nothing in the node decides otherwise.
        build: turns a node into a torch function of its live inputs.
        rule: the kind of a particular node, for operators whose kind depends on which inputs are live.
        domain: operator domain.
        since: the oldest version of the definition the row executes.
    """

    op: str
    kind: Kind
    build: Callable[[Operands], Function]
    rule: KindRule | None = None
    domain: str = ""
    since: int = 1

    def kind_of(self, node: Node, graph: Graph) -> Kind:
        """The kind of the operator as used in ``node``."""
        return self.kind if self.rule is None else self.rule(node, graph)


def affine_in_one(node: Node, graph: Graph) -> Kind:
    """Affine while one input is live; a product of two live values is smooth."""
    return Kind.AFFINE if len(graph.live_inputs(node)) <= 1 else Kind.SMOOTH


def affine_in_first(node: Node, graph: Graph) -> Kind:
    """Affine while only the first input is live, as for a dividend."""
    return Kind.AFFINE if graph.live_inputs(node) == (node.inputs[0],) else Kind.SMOOTH
