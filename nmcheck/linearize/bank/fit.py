"""Whether what a bank says of its network is so: its numbers would be of other sizes, or at a node that is no cut."""

from __future__ import annotations

from nmcheck.graph.cuts import cut_points
from nmcheck.graph.decomposable import with_relu_at
from nmcheck.graph.ir import Graph
from nmcheck.linearize.bank.cost import sizes_at
from nmcheck.linearize.bank.header import Header
from nmcheck.linearize.two_stage import is_affine_between


def misfit(header: Header, graph: Graph) -> str | None:
    """What in a header contradicts the network that it names by its fingerprint; None if nothing does.

    Args:
        header: of the bank.
        graph: the network.
    """
    point = next((point for point in cut_points(graph) if point.node.name == header.cut), None)
    if point is None:
        return f"the network has no cut {header.cut}"
    sizes = sizes_at(graph, point.node)
    whole, relu = with_relu_at(graph, point.node)
    stated = {
        "cut_kind": (header.cut_kind, point.kind),
        "n": (header.n, sizes.n),
        "p": (header.p, sizes.p),
        "d": (header.d, sizes.d),
        "input_shape": (header.input_shape, tuple(graph.shapes[graph.input])),
        "inner_is_constant": (header.inner_is_constant, is_affine_between(whole, whole.input, relu.inputs[0])),
        "outer_is_constant": (header.outer_is_constant, is_affine_between(whole, relu.outputs[0], whole.logits)),
    }
    wrong = [f"its {name} is {said}, and the network's {so}" for name, (said, so) in stated.items() if said != so]
    return wrong[0] if wrong else None
