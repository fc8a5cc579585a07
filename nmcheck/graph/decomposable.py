"""ReLU-decomposable activations: those that are a line plus one ReLU, and the graph with that ReLU written out.

    LeakyRelu, PRelu    a x + (1 - a) relu(x)
    Clip from below     lo + relu(x - lo)
    Clip from above     hi - relu(hi - x)
    Clip                lo + relu(x - lo) - relu(x - hi)
    Max with constants  c + relu(x - c)
    Min with constants  c - relu(c - x)

A network can then be cut there as at any ReLU. Beside the ReLU of a leaky activation the line a x leads past it, and
beside the lower ReLU of a two-sided Clip the upper one does; otherwise everything passes through the ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from nmcheck.graph.ir import Graph, Node
from nmcheck.graph.scalars import clip_bounds

Constant = Float[np.ndarray, "..."]

_LARGEST = 3.4e38
"""Older files state a bound left out as the largest float32 number."""
_RELU_SINCE = 14
_ELEMENTWISE_SINCE = 14


@dataclass(frozen=True)
class KinkedLine:
    """``offset + slope x + gain relu(x - kink)``, or ``relu(kink - x)`` if it looks down, less ``relu(x - upper)``.

    Attributes:
        kink: where the ReLU starts.
        gain: what it is multiplied with.
        slope: of the line beside it.
        offset: added.
        looks_down: whether the ReLU is of ``kink - x``.
        upper: where a second ReLU starts to be taken away; None without one.
    """

    kink: Constant
    gain: Constant
    slope: Constant
    offset: Constant
    looks_down: bool = False
    upper: Constant | None = None

    @property
    def is_passed_by(self) -> bool:
        """Whether x reaches the output on another way than through the ReLU."""
        return self.upper is not None or bool(self.slope.any())


def relu_decomposition(graph: Graph, node: Node) -> KinkedLine | None:
    """The node as a kinked line; None if it is no ReLU-decomposable activation, or one without a kink.

    A Relu is none: it is one already. Neither is a maximum of several values that depend on the sample.
    """
    rule = None if node.domain else _RULES.get(node.op)
    if rule is None or len(graph.live_inputs(node)) != 1:
        return None
    return rule(graph, node)


def with_relu_at(graph: Graph, node: Node) -> tuple[Graph, Node]:
    """The graph with the ReLU inside a node written out, and that ReLU.

    The node that ends the group has the name and the output of the one it replaces; the others are named after it, the
    ReLU ``<name>_relu``, unless it is the only one. For a Relu it is the graph itself.

    Args:
        graph: the network.
        node: a Relu, or a node for which ``relu_decomposition`` has a form.

    Raises:
        ValueError: the node is neither.
    """
    if node.op == "Relu" and not node.domain:
        return graph, node
    line = relu_decomposition(graph, node)
    if line is None:
        raise ValueError(f"node '{node.name}' ({node.op}) is no ReLU and not ReLU-decomposable")
    group = _Group(graph, node)
    (x,) = graph.live_inputs(node)
    inner = x
    if line.looks_down or line.kink.any():
        inner = group.apply("Sub", "kinked", (line.kink, x) if line.looks_down else (x, line.kink))
    place = len(group.nodes)
    value = group.apply("Relu", "relu", (inner,))
    if (line.gain != 1).any():
        value = group.apply("Mul", "gain", (value, line.gain))
    if line.slope.any():
        value = group.apply("Add", "joined", (value, group.apply("Mul", "slope", (x, line.slope))))
    if line.upper is not None:
        above = group.apply("Relu", "upper_relu", (group.apply("Sub", "upper", (x, line.upper)),))
        value = group.apply("Sub", "capped", (value, above))
    if line.offset.any():
        value = group.apply("Add", "offset", (value, line.offset))
    return group.in_place_of_the_node(), group.nodes[place]


class _Group:
    """Nodes that take the place of one."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph = graph
        self.node = node
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def apply(self, op: str, suffix: str, operands: tuple[str | np.ndarray, ...]) -> str:
        """Append a node and return the name of its value."""
        name = self._free(f"{self.node.name}_{suffix}")
        inputs, shapes = [], []
        for operand in operands:
            if isinstance(operand, str):
                inputs.append(operand)
                shapes.append({**self.graph.shapes, **self.shapes}[operand])
            else:
                inputs.append(f"{name}:operand")
                self.constants[inputs[-1]] = operand
                shapes.append(operand.shape)
        output = f"{name}:output"
        self.shapes[output] = np.broadcast_shapes(*shapes)
        version = _RELU_SINCE if op == "Relu" else _ELEMENTWISE_SINCE
        self.nodes.append(Node(name, op, "", version, tuple(inputs), (output,), {}, self.node.index))
        return output

    def in_place_of_the_node(self) -> Graph:
        """The graph with these nodes for the one, the last under its name and with its output."""
        last = self.nodes[-1]
        gone = last.outputs[0]
        self.nodes[-1] = replace(last, name=self.node.name, outputs=self.node.outputs)
        nodes = tuple(new for old in self.graph.nodes for new in (self.nodes if old.name == self.node.name else (old,)))
        read = {value for node in nodes for value in node.inputs} | {self.graph.output}
        constants = {**self.graph.constants, **self.constants}
        return replace(
            self.graph,
            nodes=nodes,
            constants={name: array for name, array in constants.items() if name in read},
            shapes={**self.graph.shapes, **{name: shape for name, shape in self.shapes.items() if name != gone}},
        )

    def _free(self, name: str) -> str:
        taken = name in self.graph.by_name or any(node.name == name for node in self.nodes)
        return self._free(f"{name}_{self.node.index}") if taken else name


def _number(value: float) -> Constant:
    return np.array(value, dtype=np.float64)


def _leaky(slope: np.ndarray) -> KinkedLine | None:
    slope = np.asarray(slope, dtype=np.float64)
    if not np.isfinite(slope).all() or not (slope != 1).any():
        return None
    return KinkedLine(kink=_number(0.0), gain=np.asarray(1 - slope), slope=slope, offset=_number(0.0))


def _leaky_relu(_graph: Graph, node: Node) -> KinkedLine | None:
    alpha = node.attributes.get("alpha", 0.01)
    return _leaky(np.array(alpha)) if isinstance(alpha, int | float) else None


def _prelu(graph: Graph, node: Node) -> KinkedLine | None:
    if node.inputs[0] in graph.constants:
        return None
    slope = graph.constants[node.inputs[1]]
    shape = graph.shapes[node.inputs[0]]
    broadcasts = slope.ndim <= len(shape) and all(
        length in (1, whole) for length, whole in zip(slope.shape[::-1], shape[::-1], strict=False)
    )
    return _leaky(slope) if broadcasts else None


def _clip(graph: Graph, node: Node) -> KinkedLine | None:
    bounds = clip_bounds(graph, node) if node.inputs[0] not in graph.constants else None
    if bounds is None or any(bound is not None and np.isnan(bound) for bound in bounds):
        return None
    low, high = (None if bound is None or abs(bound) >= _LARGEST else _number(bound) for bound in bounds)
    if low is not None and high is not None:
        return replace(_from_below(low), upper=high) if low < high else None
    if low is not None:
        return _from_below(low) if bounds[1] is None or bounds[1] > 0 else None
    if high is not None:
        return _from_above(high) if bounds[0] is None or bounds[0] < 0 else None
    return None


def _from_below(bound: Constant) -> KinkedLine:
    return KinkedLine(kink=bound, gain=_number(1.0), slope=_number(0.0), offset=bound)


def _from_above(bound: Constant) -> KinkedLine:
    return KinkedLine(kink=bound, gain=_number(-1.0), slope=_number(0.0), offset=bound, looks_down=True)


def _maximum(graph: Graph, node: Node) -> KinkedLine | None:
    """Max or Min of one live value and constants."""
    arrays = [graph.constants[name].astype(np.float64) for name in node.inputs if name in graph.constants]
    if not arrays:
        return None
    pick = np.maximum if node.op == "Max" else np.minimum
    bound = arrays[0]
    for array in arrays[1:]:
        bound = pick(bound, array)
    if not np.isfinite(bound).all():
        return None
    return _from_below(bound) if node.op == "Max" else _from_above(bound)


_RULES: Mapping[str, Callable[[Graph, Node], KinkedLine | None]] = {
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Clip": _clip,
    "Max": _maximum,
    "Min": _maximum,
}
