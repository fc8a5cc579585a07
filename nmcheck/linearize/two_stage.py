"""Two-stage linearization of a network at a ReLU that every path crosses."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.execute.program import Program
from nmcheck.execute.table import Kind, row_for
from nmcheck.graph.ir import Graph, Node
from nmcheck.linearize.jacobian import jacobian


class TwoStageLinearizer:
    """Taylor's first order in front of a ReLU and behind it, with the ReLU itself kept.

    With the network R = R_after(relu(R_before(x))), a point x0, z0 = R_before(x0) and y0 = relu(z0):
    ``A = dR_before/dx (x0)``, ``c1 = z0 - A x0``, ``B = dR_after/dy (y0)``, ``c2 = R_after(y0) - B y0``, so that
    R(x) ~ B relu(A x + c1) + c2, with equality at x0 (extension paper, section 3.3). Where the part before the ReLU is
    affine, A and c1 are the same at every point and are computed once; likewise B and c2 behind it.

    Args:
        program: the network, in the precision the linearization is wanted in.
        cut: a ReLU of its graph that every path from the input to the logits crosses (``graph.cuts``).
    """

    def __init__(self, program: Program, cut: Node) -> None:
        graph = program.graph
        self.program = program
        self.cut = cut
        self._before = program.function(graph.input, cut.inputs[0])
        self._after = program.function(cut.outputs[0], graph.logits)
        self.inner_is_constant = is_affine_between(graph, graph.input, cut.inputs[0])
        self.outer_is_constant = is_affine_between(graph, cut.outputs[0], graph.logits)
        self._inner: AffineMap | None = None
        self._outer: AffineMap | None = None

    def at(self, point: Tensor) -> AffineReluAffine:
        """The (Affine, ReLU, Affine) model at ``point``, a tensor of the graph's input shape in pixel units.

        A acts on the flattened input.
        """
        if self._inner is None or not self.inner_is_constant:
            self._inner = _affine_model(self._before, point)
        if self._outer is None or not self.outer_is_constant:
            self._outer = _affine_model(self._after, torch.relu(self._before(point)))
        return AffineReluAffine(inner=self._inner, outer=self._outer)


def _affine_model(function: Callable[[Tensor], Tensor], point: Tensor) -> AffineMap:
    value, weight = jacobian(function, point)
    return AffineMap(weight=weight, bias=value - weight @ point.flatten())


def is_affine_between(graph: Graph, source: str, target: str) -> bool:
    """Whether ``target`` is an affine function of ``source``, judged by the kinds of the operators in between."""
    return all(
        row_for(node).kind_of(node, graph) in (Kind.AFFINE, Kind.SHAPE) for node in nodes_between(graph, source, target)
    )


def nodes_between(graph: Graph, source: str, target: str) -> Iterable[Node]:
    """The nodes on the paths from ``source`` to ``target``, in order."""
    if source == target:
        return ()
    needed, found = {target}, []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            found.append(node)
            needed.update(value for value in graph.live_inputs(node) if value != source)
    return tuple(reversed(found))
