"""Single numbers among a graph's constants and attributes."""

from __future__ import annotations

import numpy as np

from nmcheck.graph.ir import Graph, Node

_LARGEST = 2**16
"""Elements up to which an array is looked through."""


def uniform(array: np.ndarray) -> float | None:
    """The one number an array consists of; None if its elements differ, or are not numbers, or very many."""
    if array.dtype.kind not in "fiu" or not 0 < array.size <= _LARGEST:
        return None
    return float(array.flat[0]) if bool((array == array.flat[0]).all()) else None


def clip_bounds(graph: Graph, node: Node) -> tuple[float | None, float | None] | None:
    """The bounds of a Clip, by attribute or by input, None for one left out; None if one is no constant number."""
    if node.since_version < 11:
        low, high = node.attributes.get("min"), node.attributes.get("max")
        return (low if isinstance(low, float) else None, high if isinstance(high, float) else None)
    bounds: list[float | None] = []
    for name in (*node.inputs[1:3], "", "")[:2]:
        number = uniform(graph.constants[name]) if name in graph.constants else None
        if name and number is None:
            return None
        bounds.append(number)
    return bounds[0], bounds[1]
