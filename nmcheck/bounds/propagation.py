"""How far a change made at one or more values of the graph can move another value.

Forward over the graph, one number a value: ``||change of value|| <= L(value) ||change made||``. A chain multiplies, a
sum adds, a concatenation takes the root of the sum of squares. A value that is itself changed starts from its own
change; whatever stands before it is held fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from nmcheck.bounds.affine_run import AffineRun, LayerConstants, affine_run
from nmcheck.bounds.layers import unsupported_reason
from nmcheck.bounds.structure import combined_reach
from nmcheck.errors import UnsupportedError
from nmcheck.graph.ir import Graph, Node

LrnConstant = Callable[[Node, Tensor], Tensor]
"""From an LRN node and how far its input can move per unit of change, (images,), to its constant, (images,)."""


@dataclass(frozen=True)
class _Step:
    """One move of the propagation: along a merged run, or through a node that is no part of one."""

    target: str
    run: AffineRun | None
    node: Node


@dataclass(frozen=True)
class Route:
    """The steps from changed values to a target, in order, and what they pass through.

    Attributes:
        sources: the changed values.
        target: where the change is measured.
        steps: the moves.
        lrn: the LRN nodes that the change reaches.
    """

    sources: tuple[str, ...]
    target: str
    steps: tuple[_Step, ...]
    lrn: tuple[Node, ...]


def reached_values(graph: Graph, sources: Collection[str]) -> frozenset[str]:
    """Values that depend on one of ``sources``, these included."""
    reached = set(sources)
    for node in graph.nodes:
        if any(value in reached for value in graph.live_inputs(node)):
            reached.update(value for value in node.outputs if value)
    return frozenset(reached)


def route(graph: Graph, sources: tuple[str, ...], target: str) -> Route:
    """Plan the propagation from ``sources`` to ``target``.

    Raises:
        UnsupportedError: the change passes through a node without a constant; the message names it.
    """
    reached = reached_values(graph, sources)
    needed = {target} & reached
    steps: list[_Step] = []
    for node in reversed(graph.nodes):
        for value in node.outputs:
            if value not in needed or value in sources:
                continue
            reason = unsupported_reason(graph, node)
            if reason is None and value != node.outputs[0] and node.op != "Split":
                reason = f"{node.name} ({node.op}): no Lipschitz constant is known for its output {value}."
            if reason is not None:
                raise UnsupportedError(reason)
            run = affine_run(graph, value, sources)
            steps.append(_Step(value, run if run.nodes else None, node))
            needed.update({run.source} if run.nodes else set(graph.live_inputs(node)) & reached)
    lrn = tuple(step.node for step in reversed(steps) if step.node.op == "LRN")
    return Route(sources, target, tuple(reversed(steps)), lrn)


def propagate(constants: LayerConstants, path: Route, lrn_constant: LrnConstant | None, images: int) -> Tensor:
    """L of the route's target for a change of each source by itself, shape (sources, images).

    Args:
        constants: the network's layer constants.
        path: the planned route.
        lrn_constant: constant of an LRN node, given the reach of a joint change of all sources at its input;
            None for the global one.
        images: number of images the result has a column for.
    """
    graph = constants.graph
    count = len(path.sources)
    zero = torch.zeros((count, images), dtype=torch.float64)
    reach: dict[str, Tensor] = {}
    for row, source in enumerate(path.sources):
        reach[source] = zero.clone()
        reach[source][row] = 1.0
    for step in path.steps:
        if step.run is not None:
            reach[step.target] = _times(reach.get(step.run.source, zero), constants.run(step.run).value)
            continue
        moved = [reach.get(value, zero) for value in graph.live_inputs(step.node)]
        if len(moved) > 1:
            reach[step.target] = combined_reach(graph, step.node, moved)
        elif step.node.op == "LRN" and lrn_constant is not None:
            reach[step.target] = moved[0] * lrn_constant(step.node, torch.linalg.vector_norm(moved[0], dim=0))
        else:
            reach[step.target] = _times(moved[0], constants.node(step.node).value)
    return reach.get(path.target, zero)


def _times(reach: Tensor, constant: float) -> Tensor:
    """The product; where two positive numbers underflow, the smallest normal number, which is above their product."""
    product = reach * constant
    if constant > 0:
        product = torch.where(reach > 0, product.clamp(min=torch.finfo(product.dtype).tiny), product)
    return product


def joint_reach(
    constants: LayerConstants, path: Route, lrn_constant: LrnConstant | None = None, images: int = 1
) -> Tensor:
    """L of the route's target for a joint change of all sources in the root of the sum of squares, (images,)."""
    return torch.linalg.vector_norm(propagate(constants, path, lrn_constant, images), dim=0)


def input_sources(graph: Graph, node: Node) -> tuple[str, ...]:
    """The values whose joint change is a change at the node's input."""
    return tuple(dict.fromkeys(graph.live_inputs(node)))
