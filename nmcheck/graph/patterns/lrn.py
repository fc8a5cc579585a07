"""Local response normalization decomposed into primitive operators.

torch's own definition is x / (k + alpha * mean(x^2 over a window of channels))^beta, exported as

    Mul(x, x) -> Reshape|Unsqueeze -> Pad -> AveragePool -> Squeeze|Reshape
        -> Mul(alpha) -> Add(k) -> Pow(beta) -> Div(x, .)

where Mul(alpha), Add(k) and Pow(beta) are left out at 1, 0 and 1. Others sum the window by a convolution or by slices
(``channel_window``), multiply by a power of -beta, or have the channels last. ONNX's LRN is the same with bias = k: its
sum of squares is multiplied with alpha / size. The windows agree for odd sizes only: ONNX's reaches (size - 1) // 2
channels back and size // 2 ahead, torch's the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nmcheck.graph.ir import Graph, Node
from nmcheck.graph.patterns.channel_window import channel_window
from nmcheck.graph.patterns.replacement import is_closed, pattern_node, replaced
from nmcheck.graph.scalars import uniform

_SINCE_VERSION = 13
_TRANSPOSE_SINCE = 1


def with_lrn_recognized(graph: Graph) -> Graph:
    """The graph with each written-out LRN as one node, named like the Div or Mul it ends in.

    Where the channels stand last, as TensorFlow has them, a Transpose is put on either side of it. A group that is LRN
    only nearly, or whose inner values are used elsewhere, stays as it is.
    """
    for last in graph.nodes:
        if last.op in ("Div", "Mul") and not last.domain and (found := _match(graph, last)) is not None:
            x, axis, layer = found
            graph = replaced(graph, layer)
            graph = graph if axis == 1 else _with_channels_last(graph, x, layer)
    return graph


@dataclass
class _Chain:
    """Walks from the last node back to the squares, collecting the nodes passed."""

    graph: Graph
    members: set[str]
    value: str

    def scalar(self, op: str, default: float) -> float | None:
        """The number operand of ``op`` here, ``default`` without such a node, None if the operand is no number."""
        node = self.graph.producers.get(self.value)
        live = () if node is None else self.graph.live_inputs(node)
        if node is None or node.op != op or node.domain or len(live) != 1:
            return default
        if op == "Pow" and node.inputs[0] != live[0]:
            return default
        constant = self.graph.constants[next(name for name in node.inputs if name != live[0])]
        if constant.size != 1 or self.graph.shapes[node.outputs[0]] != self.graph.shapes[live[0]]:
            return None
        self.members.add(node.name)
        self.value = live[0]
        return float(constant.item())


def _match(graph: Graph, last: Node) -> tuple[str, int, Node] | None:
    """X, the axis of its channels, and the LRN that ends in ``last``; None if none does."""
    orders = (last.inputs,) if last.op == "Div" else (last.inputs, last.inputs[::-1])
    for x, power in orders:
        live = x in graph.shapes and power in graph.shapes
        if live and len(graph.shapes[x]) >= 2 and graph.shapes[last.outputs[0]] == graph.shapes[x]:
            found = _normalized(graph, last, x, _Chain(graph, {last.name}, power))
            if found is not None:
                return found
    return None


def _normalized(graph: Graph, last: Node, x: str, chain: _Chain) -> tuple[str, int, Node] | None:
    power = chain.scalar("Pow", 1.0)
    bias = chain.scalar("Add", 0.0)
    alpha = chain.scalar("Mul", 1.0)
    if power is None or bias is None or alpha is None:
        return None
    beta = power if last.op == "Div" else -power
    window = channel_window(graph, chain.value)
    square = None if window is None else graph.producers.get(window.source)
    # A Mul by the bare window, power 1, is no division.
    if window is None or square is None or not _is_square_of(graph, square, x) or (last.op == "Mul" and power == 1.0):
        return None
    members = chain.members | window.nodes | {square.name}
    if graph.shapes[window.source] != graph.shapes[x] or not is_closed(graph, last, members):
        return None
    layer = pattern_node(
        graph, last, members, op="LRN", since_version=_SINCE_VERSION, inputs=(x,),
        attributes={"size": window.size, "alpha": alpha * window.factor, "beta": beta, "bias": bias},
    )  # fmt: skip
    return x, window.axis, layer


def _is_square_of(graph: Graph, node: Node, x: str) -> bool:
    if node.domain or node.op not in ("Mul", "Pow"):
        return False
    if node.op == "Mul":
        return node.inputs == (x, x)
    exponent = graph.constants.get(node.inputs[1])
    return node.inputs[0] == x and exponent is not None and uniform(exponent) == 2


def _with_channels_last(graph: Graph, x: str, layer: Node) -> Graph:
    """``layer`` between Transposes that bring the last axis to the front and back."""
    shape = graph.shapes[x]
    rank = len(shape)
    there, back = (0, rank - 1, *range(1, rank - 1)), (0, *range(2, rank), 1)
    inner = {f"{layer.name}:{place}": tuple(shape[axis] for axis in there) for place in ("in", "out")}
    before, after = inner

    def turned(suffix: str, source: str, target: str, perm: tuple[int, ...]) -> Node:
        name = f"{layer.name}_{suffix}"
        while name in graph.by_name:
            name = f"{name}_{layer.index}"
        return Node(name, "Transpose", "", _TRANSPOSE_SINCE, (source,), (target,), {"perm": perm}, layer.index)

    group = (
        turned("channels_first", x, before, there),
        replace(layer, inputs=(before,), outputs=(after,)),
        turned("channels_last", after, layer.outputs[0], back),
    )
    nodes = tuple(new for node in graph.nodes for new in (group if node.name == layer.name else (node,)))
    return replace(graph, nodes=nodes, shapes={**graph.shapes, **inner})
