"""Local response normalization as torch's exporters write it out.

torch's own definition is x / (k + alpha * mean(x^2 over a window of channels))^beta, exported as

    Mul(x, x) -> Reshape|Unsqueeze -> Pad -> AveragePool -> Squeeze|Reshape
        -> Mul(alpha) -> Add(k) -> Pow(beta) -> Div(x, .)

where Mul(alpha), Add(k) and Pow(beta) are left out at 1, 0 and 1. ONNX's LRN is the same with bias = k: its sum of
squares is multiplied with alpha / size. The windows agree for odd sizes only: ONNX's reaches (size - 1) // 2 channels
back and size // 2 ahead, torch's the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from nmcheck.graph.ir import Graph, Node

_SINCE_VERSION = 13
_RENAMING = ("Reshape", "Unsqueeze", "Squeeze", "Identity", "Flatten")


def with_lrn_recognized(graph: Graph) -> Graph:
    """The graph with each written-out LRN as one node, named like the Div it ends in.

    A group that is LRN only nearly, or whose inner values are used elsewhere, stays as it is.
    """
    for last in graph.nodes:
        if last.op == "Div" and (found := _match(graph, last)) is not None:
            graph = _replaced(graph, *found)
    return graph


def _replaced(graph: Graph, layer: Node, members: Sequence[Node]) -> Graph:
    gone = {node.name for node in members}
    nodes = tuple(
        layer if node.name == layer.name else node
        for node in graph.nodes
        if node.name == layer.name or node.name not in gone
    )
    written = {value for node in members for value in node.outputs} - set(layer.outputs)
    read = {value for node in nodes for value in node.inputs} | {graph.output}
    return replace(
        graph,
        nodes=nodes,
        constants={name: array for name, array in graph.constants.items() if name in read},
        shapes={name: shape for name, shape in graph.shapes.items() if name not in written},
    )


class _Chain:
    """Walks from the Div back to x, collecting the nodes passed."""

    def __init__(self, graph: Graph, last: Node) -> None:
        self.graph = graph
        self.members = [last]
        self.value = last.inputs[1]

    def node(self, *ops: str) -> Node | None:
        """The producer of the current value if it is one of ``ops`` and only this chain reads it."""
        producer = self.graph.producers.get(self.value)
        reserved = (self.graph.output, self.graph.logits)
        if producer is None or producer.op not in ops or producer.domain or self.value in reserved:
            return None
        return producer if len(self.graph.consumers[self.value]) == 1 else None

    def step(self, node: Node, value: str) -> None:
        """Go on in front of ``node``, at one of the values it reads."""
        self.members.append(node)
        self.value = value

    def scalar(self, op: str, default: float) -> float | None:
        """The scalar operand of ``op`` here, ``default`` without such a node, None if the operand is no scalar."""
        node = self.node(op)
        if node is None:
            return default
        live = self.graph.live_inputs(node)
        if len(live) != 1 or (op == "Pow" and node.inputs[0] != live[0]):
            return default
        constant = self.graph.constants[next(name for name in node.inputs if name != live[0])]
        if constant.size != 1 or self.graph.shapes[node.outputs[0]] != self.graph.shapes[live[0]]:
            return None
        self.step(node, live[0])
        return float(constant.item())

    def rename(self) -> None:
        """Pass over operators that only reshape."""
        while (node := self.node(*_RENAMING)) is not None:
            self.step(node, node.inputs[0])


def _match(graph: Graph, last: Node) -> tuple[Node, list[Node]] | None:
    """The LRN that ends in ``last`` and the nodes it stands for, or None."""
    x = last.inputs[0]
    if x not in graph.shapes or last.inputs[1] not in graph.shapes or len(graph.shapes[x]) < 2:
        return None
    chain = _Chain(graph, last)
    beta = chain.scalar("Pow", 1.0)
    bias = chain.scalar("Add", 0.0)
    alpha = chain.scalar("Mul", 1.0)
    chain.rename()
    pool = chain.node("AveragePool")
    if beta is None or bias is None or alpha is None or pool is None:
        return None
    chain.step(pool, pool.inputs[0])
    pad = chain.node("Pad")
    if pad is not None:
        chain.step(pad, pad.inputs[0])
    padded_shape = graph.shapes[chain.value]
    chain.rename()
    square = chain.node("Mul", "Pow")
    if square is None or not _is_square_of(graph, square, x) or graph.shapes[square.outputs[0]] != graph.shapes[x]:
        return None
    chain.step(square, x)
    size = _channel_window(graph, pool, pad, padded_shape, graph.shapes[x])
    if (
        size is None
        or graph.shapes[pool.outputs[0]] != padded_shape
        or graph.shapes[last.outputs[0]] != graph.shapes[x]
    ):
        return None
    members = sorted(chain.members, key=lambda node: node.index)
    layer = Node(
        name=last.name,
        op="LRN",
        domain="",
        since_version=_SINCE_VERSION,
        inputs=(x,),
        outputs=last.outputs,
        attributes={"size": size, "alpha": alpha, "beta": beta, "bias": bias},
        index=last.index,
        recognized_from="pattern",
        members=tuple(node.name for node in members),
    )
    return layer, members


def _is_square_of(graph: Graph, node: Node, x: str) -> bool:
    if node.op == "Mul":
        return node.inputs == (x, x)
    exponent = graph.constants.get(node.inputs[1])
    return node.inputs[0] == x and exponent is not None and exponent.size == 1 and exponent.item() == 2


def _channel_window(
    graph: Graph, pool: Node, pad: Node | None, shape: tuple[int, ...], original: tuple[int, ...]
) -> int | None:
    """The number of channels averaged, if the pooling slides over channels and nothing else, as ONNX's LRN does.

    Args:
        graph: the graph.
        pool: the AveragePool.
        pad: the Pad in front of it, if any.
        shape: shape of the reshaped squares, without padding.
        original: shape of x.
    """
    kernel = pool.attributes.get("kernel_shape", ())
    if not isinstance(kernel, tuple) or len(kernel) != len(shape) - 2:
        return None
    wide = [axis for axis, taps in enumerate(kernel, start=2) if taps != 1]
    ones = {(1,) * len(kernel), None}
    if len(wide) != 1 or pool.attributes.get("strides") not in ones or pool.attributes.get("dilations") not in ones:
        return None
    axis = wide[0]
    # In row-major order the axis counts channels if it is as long and as many elements stand in front of it.
    if shape[axis] != original[1] or prod(shape[:axis]) != original[0]:
        return None
    if pool.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    size = int(kernel[axis - 2])
    before, after = [0] * len(shape), [0] * len(shape)
    before[axis], after[axis] = (size - 1) // 2, size // 2
    inside = pool.attributes.get("pads") or (0,) * (2 * len(kernel))
    if not isinstance(inside, tuple):
        return None
    if pad is None:
        fits = tuple(inside) == (*before[2:], *after[2:]) and bool(pool.attributes.get("count_include_pad", 0))
    else:
        fits = not any(inside) and _zero_pads(graph, pad, len(shape)) == (*before, *after)
    return size if fits else None


def _zero_pads(graph: Graph, pad: Node, rank: int) -> tuple[int, ...] | None:
    """The pads of a Pad node that writes zeros, or None."""
    if pad.attributes.get("mode", "constant") != "constant":
        return None
    if pad.since_version < 11:
        pads, value = pad.attributes.get("pads"), pad.attributes.get("value", 0.0)
        return pads if isinstance(pads, tuple) and value == 0.0 else None  # type: ignore[return-value]
    operands = [graph.constants.get(name) if name else None for name in (*pad.inputs[1:], "", "", "")]
    if operands[0] is None or (any(pad.inputs[2:3]) and (operands[1] is None or operands[1].any())):
        return None
    axes = range(rank) if operands[2] is None else operands[2].tolist()
    if any(pad.inputs[3:4]) and operands[2] is None:
        return None
    full = np.zeros((2, rank), dtype=np.int64)
    full[:, [axis % rank for axis in axes]] = operands[0].reshape(2, -1)
    return tuple(int(length) for length in full.flatten())
