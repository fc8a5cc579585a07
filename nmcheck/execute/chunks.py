"""How many images a network is run on at once."""

from __future__ import annotations

from math import prod

from nmcheck.graph.ir import Graph

ELEMENTS = 2**24
"""Elements of a value computed at a time (64 MiB in float32)."""
MOST_IMAGES = 256


def images_at_once(graph: Graph) -> int:
    """As many as keep the largest value within ``ELEMENTS``, at most ``MOST_IMAGES``, at least one."""
    return max(1, min(MOST_IMAGES, ELEMENTS // largest_value(graph)))


def largest_value(graph: Graph) -> int:
    """Elements of the largest value of one image."""
    return max(1, max((prod(shape) for shape in graph.shapes.values()), default=1))
