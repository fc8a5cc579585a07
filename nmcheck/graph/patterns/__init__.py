"""Layers that exporters write out as several operators, put back together."""

from __future__ import annotations

from nmcheck.graph.ir import Graph
from nmcheck.graph.patterns.gelu import with_gelu_recognized
from nmcheck.graph.patterns.layer_norm import with_layer_norm_recognized
from nmcheck.graph.patterns.lrn import with_lrn_recognized
from nmcheck.graph.patterns.swish import with_swish_recognized


def recognize(graph: Graph) -> Graph:
    """The graph with every known pattern replaced by the one node it stands for."""
    for recognized in (with_lrn_recognized, with_layer_norm_recognized, with_gelu_recognized, with_swish_recognized):
        graph = recognized(graph)
    return graph


__all__ = ["recognize"]
