"""The model's input scaling as a layer of its own, so that everything behind works in pixel units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Shaped

from nmcheck.graph.ir import Graph, Node

_SINCE_VERSION = 7


def with_input_scale(
    graph: Graph, gain: Shaped[np.ndarray, "*gain_shape"], offset: Shaped[np.ndarray, "*offset_shape"]
) -> Graph:
    """The graph of ``x -> model(gain * x + offset)``, x in pixel units.

    Nodes ``input_scale`` (Mul) and ``input_shift`` (Add) with index -1 are put in front; one that would change nothing
    is left out, and without either the graph itself is returned.

    Args:
        graph: the model in its own units.
        gain: broadcastable to the input's shape.
        offset: broadcastable to the input's shape.

    Raises:
        ValueError: gain or offset does not broadcast to the input's shape.
    """
    shape = graph.shapes[graph.input]
    steps = []
    for name, op, operand, neutral in (("input_scale", "Mul", gain, 1.0), ("input_shift", "Add", offset, 0.0)):
        if np.broadcast_shapes(operand.shape, shape) != shape:
            raise ValueError(f"{name} of shape {operand.shape} does not broadcast to the input's shape {shape}")
        if np.any(operand != neutral):
            steps.append((_free(name, graph), op, np.asarray(operand, dtype=np.float64)))
    values = [*(f"{graph.input}:before_{name}" for name, _, _ in steps), graph.input]
    nodes = tuple(
        Node(name, op, "", _SINCE_VERSION, (values[step], f"{name}:operand"), (values[step + 1],), {}, -1)
        for step, (name, op, _) in enumerate(steps)
    )
    if not nodes:
        return graph
    return replace(
        graph,
        nodes=(*nodes, *graph.nodes),
        constants={**graph.constants, **{f"{name}:operand": operand for name, _, operand in steps}},
        shapes={**graph.shapes, **dict.fromkeys(values, shape)},
        input=values[0],
    )


def _free(name: str, graph: Graph) -> str:
    """``name``, or a variant of it if the file has a node of that name."""
    return name if name not in graph.by_name else _free(f"{name}_-1", graph)
