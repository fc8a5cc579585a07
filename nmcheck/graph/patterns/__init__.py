"""Layers that exporters write out as several operators, put back together."""

from __future__ import annotations

from nmcheck.graph.ir import Graph
from nmcheck.graph.patterns.lrn import with_lrn_recognized


def recognize(graph: Graph) -> Graph:
    """The graph with every known pattern replaced by the one node it stands for."""
    return with_lrn_recognized(graph)


__all__ = ["recognize"]
