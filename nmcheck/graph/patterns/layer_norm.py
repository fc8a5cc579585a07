"""Layer normalization in primitive operators, as exporters write it below operator set 17, which brings the operator.

With m = ReduceMean(x) and d = x - m over the last axes, v = ReduceMean(d^2) and r = 1 / sqrt(v + epsilon), it is
d r gamma + beta: torch's exporter divides d by the root, TensorFlow's batch_normalization multiplies by a reciprocal
and writes x (r gamma) + (beta - m (r gamma)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcheck.graph.ir import Graph, Node
from nmcheck.graph.patterns.replacement import is_closed, pattern_node, replaced
from nmcheck.graph.scalars import uniform

_SINCE_VERSION = 17


@dataclass(frozen=True)
class _Normalized:
    """x normalized, and perhaps scaled and shifted, by the nodes found so far.

    Attributes:
        x: name of x.
        axis: the first of the axes normalized over.
        epsilon: added to the variance.
        nodes: names of the nodes.
        scale: the constant it is multiplied with.
        bias: the constant added.
    """

    x: str
    axis: int
    epsilon: float
    nodes: frozenset[str]
    scale: np.ndarray | None = None
    bias: np.ndarray | None = None


def with_layer_norm_recognized(graph: Graph) -> Graph:
    """The graph with each layer normalization in primitive operators as one node, named like the node it ends in.

    A scale or shift that varies along other axes than those normalized over stays behind it as it is.
    """
    for reduction in [node for node in graph.nodes if node.op == "ReduceMean"]:
        if reduction.name not in graph.by_name:
            continue
        for last in _ends(graph, reduction):
            found = _Reader(graph).normalized(last)
            if found is not None and reduction.name in found.nodes and is_closed(graph, last, found.nodes):
                graph = _with_layer(graph, last, found)
                break
    return graph


def _with_layer(graph: Graph, last: Node, found: _Normalized) -> Graph:
    shape = graph.shapes[found.x][found.axis :]
    arrays = {"scale": np.ones(shape, np.float32) if found.scale is None else found.scale, "bias": found.bias}
    constants = {
        f"{last.name}:{key}": np.broadcast_to(_inner(array, len(shape)), shape)
        for key, array in arrays.items()
        if array is not None
    }
    layer = pattern_node(
        graph, last, found.nodes, op="LayerNormalization", since_version=_SINCE_VERSION,
        inputs=(found.x, *constants), attributes={"axis": found.axis, "epsilon": found.epsilon},
    )  # fmt: skip
    return replaced(graph, layer, constants)


def _ends(graph: Graph, reduction: Node, longest: int = 9) -> list[Node]:
    """The nodes of elementwise arithmetic behind a mean, the farthest first."""
    found: dict[str, Node] = {}
    front = [reduction]
    for _ in range(longest):
        values = [value for node in front for value in node.outputs]
        readers = {node.name: node for value in values for node in graph.consumers.get(value, ())}
        front = [node for node in readers.values() if node.op in _ARITHMETIC and not node.domain]
        found.update({node.name: node for node in front})
    places = {node.name: place for place, node in enumerate(graph.nodes)}
    ends = [node for node in found.values() if node.op in ("Div", "Mul", "Add", "Sub")]
    return sorted(ends, key=lambda node: -places[node.name])


_ARITHMETIC = ("Sub", "Pow", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Reciprocal")


class _Reader:
    """Reads a normalization backwards from the node it ends in; every method gives None for what it is not."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def normalized(self, last: Node) -> _Normalized | None:
        """D r, d r gamma or d r gamma + beta."""
        plain = self._product(last)
        if plain is not None:
            return plain
        if last.op == "Add":
            return self._shifted(last) or self._folded(last)
        return None

    def _shifted(self, last: Node) -> _Normalized | None:
        """D r gamma + beta."""
        operands = self._with_constant(last)
        node = None if operands is None else self.graph.producers.get(operands[0])
        found = None if node is None else self._product(node)
        if operands is None or found is None or node is None or not self._fits(operands[1], found):
            return None
        return _Normalized(
            found.x, found.axis, found.epsilon, found.nodes | {last.name}, found.scale, operands[1]
        )  # fmt: skip

    def _folded(self, last: Node) -> _Normalized | None:
        """X s + (beta - m s), with s = r gamma."""
        for first, second in (last.inputs, last.inputs[::-1]):
            scaled, rest = self._node(first, "Mul"), self._node(second, "Sub")
            mean = None if rest is None else self._node(rest.inputs[1], "Mul")
            if scaled is None or rest is None or mean is None:
                continue
            beta = self.graph.constants.get(rest.inputs[0])
            common = set(scaled.inputs) & set(mean.inputs)
            if beta is None or len(common) != 1:
                continue
            (scale,) = common
            x, m = (self._other(node, scale) for node in (scaled, mean))
            factor = self._scaled_root(scale)
            if x is None or m is None or factor is None:
                continue
            found = self._from_parts(x, m, factor, {last.name, scaled.name, rest.name, mean.name}, beta)
            if found is not None:
                return found
        return None

    def _product(self, last: Node) -> _Normalized | None:
        """D / sqrt(.), d r or d r gamma, in any order of the factors."""
        factors = self._factors(last, 0)
        if factors is None:
            return None
        values, scale, nodes = factors
        for d, root in (values, values[::-1]) if len(values) == 2 else ():
            centred, factor = self._centred(d), self._root(root)
            if centred is not None and factor is not None:
                x, m, inner = centred
                return self._from_parts(x, m, (factor[0], factor[1] | inner, scale), nodes, None)
        return None

    def _from_parts(
        self,
        x: str,
        mean: str,
        root: tuple[Node, frozenset[str], np.ndarray | None],
        nodes: set[str],
        bias: np.ndarray | None,
    ) -> _Normalized | None:
        """Check that mean and root belong to x and to the same last axes."""
        add, inner, scale = root
        variance, epsilon = self._with_constant(add) or ("", None)
        number = None if epsilon is None else uniform(epsilon)
        spread, average = self._node(variance, "ReduceMean"), self._node(mean, "ReduceMean")
        if spread is None or average is None or number is None or not number >= 0 or average.inputs[0] != x:
            return None
        square = self._node(spread.inputs[0], "Pow", "Mul")
        centred = None if square is None or not self._is_square(square) else self._centred(square.inputs[0])
        axes = self._last_axes(average)
        if square is None or centred is None or centred[:2] != (x, mean) or not axes or axes != self._last_axes(spread):
            return None
        members = inner | nodes | centred[2] | {add.name, spread.name, average.name, square.name}
        found = _Normalized(x, axes[0], number, frozenset(members), scale, bias)
        fits = all(array is None or self._fits(array, found) for array in (scale, bias))
        return found if fits else None

    def _factors(self, node: Node, depth: int) -> tuple[list[str], np.ndarray | None, set[str]] | None:
        """The live factors of a product, a divisor as ``/value``, its constant factor, and its nodes."""
        if node.op not in ("Mul", "Div") or node.domain or depth > 2:
            return None
        values, scale, nodes = [], None, {node.name}
        for position, name in enumerate(node.inputs):
            if name in self.graph.constants:
                if node.op == "Div" or scale is not None:
                    return None
                scale = self.graph.constants[name]
                continue
            inner = self.graph.producers.get(name) if node.op == "Mul" else None
            deeper = None if inner is None else self._factors(inner, depth + 1)
            if deeper is None:
                values.append(f"/{name}" if node.op == "Div" and position == 1 else name)
                continue
            more, constant, members = deeper
            if constant is not None and scale is not None:
                return None
            values, scale, nodes = values + more, scale if constant is None else constant, nodes | members
        return values, scale, nodes

    def _scaled_root(self, value: str) -> tuple[Node, frozenset[str], np.ndarray | None] | None:
        """R gamma, or r."""
        root = self._root(value)
        if root is not None:
            return (*root, None)
        node = self._node(value, "Mul")
        operands = None if node is None else self._with_constant(node)
        root = None if operands is None else self._root(operands[0])
        if node is None or operands is None or root is None:
            return None
        return root[0], root[1] | {node.name}, operands[1]

    def _root(self, value: str) -> tuple[Node, frozenset[str]] | None:
        """The Add of epsilon behind 1 / sqrt(v + epsilon), and the nodes after it; ``/value`` is a divisor."""
        nodes: set[str] = set()
        inverse = value.startswith("/") and value not in self.graph.shapes
        value = value[1:] if inverse else value
        reciprocal = self._node(value, "Reciprocal") or self._one_over(value)
        if reciprocal is not None and not inverse:
            nodes.add(reciprocal.name)
            value, inverse = reciprocal.inputs[1 if reciprocal.op == "Div" else 0], True
        root = self._node(value, "Sqrt", "Pow")
        if root is None:
            return None
        if root.op == "Pow":
            exponent = self.graph.constants.get(root.inputs[1])
            if exponent is None or uniform(exponent) != (0.5 if inverse else -0.5):
                return None
        elif not inverse:
            return None
        add = self._node(root.inputs[0], "Add")
        return None if add is None else (add, frozenset(nodes | {root.name}))

    def _one_over(self, value: str) -> Node | None:
        node = self._node(value, "Div")
        one = None if node is None else self.graph.constants.get(node.inputs[0])
        return node if one is not None and uniform(one) == 1.0 else None

    def _centred(self, value: str) -> tuple[str, str, frozenset[str]] | None:
        """X, its mean m and the node of x - m."""
        node = self._node(value, "Sub")
        if node is None or any(name in self.graph.constants for name in node.inputs):
            return None
        return node.inputs[0], node.inputs[1], frozenset({node.name})

    def _is_square(self, node: Node) -> bool:
        if node.op == "Mul":
            return node.inputs[0] == node.inputs[1]
        exponent = self.graph.constants.get(node.inputs[1])
        return exponent is not None and uniform(exponent) == 2.0

    def _last_axes(self, node: Node) -> tuple[int, ...]:
        """The axes a mean with kept axes is over, ascending, if they are the last ones; () otherwise."""
        rank = len(self.graph.shapes[node.inputs[0]])
        axes = node.attributes.get("axes")
        if any(node.inputs[1:2]):
            given = self.graph.constants.get(node.inputs[1])
            axes = None if given is None else tuple(given.reshape(-1).tolist())
        if not isinstance(axes, tuple) or not axes or node.attributes.get("keepdims", 1) != 1:
            return ()
        found = tuple(sorted(int(axis) % rank for axis in axes))
        return found if found == tuple(range(rank - len(found), rank)) else ()

    def _fits(self, array: np.ndarray, found: _Normalized) -> bool:
        """Whether a constant varies along the normalized axes only and has no other shape than x."""
        shape = self.graph.shapes[found.x]
        outer = array.shape[: max(0, array.ndim - (len(shape) - found.axis))]
        if array.dtype.kind != "f" or array.ndim > len(shape) or any(length != 1 for length in outer):
            return False
        inner = array.shape[len(outer) :]
        return all(length in (1, whole) for length, whole in zip(inner[::-1], shape[::-1], strict=False))

    def _with_constant(self, node: Node) -> tuple[str, np.ndarray] | None:
        """The live operand and the constant one of a commutative node."""
        for live, constant in (node.inputs, node.inputs[::-1]):
            if constant in self.graph.constants and live in self.graph.shapes:
                return live, self.graph.constants[constant]
        return None

    def _other(self, node: Node, value: str) -> str | None:
        others = [name for name in node.inputs if name != value]
        return others[0] if len(others) == 1 else None

    def _node(self, value: str, *ops: str) -> Node | None:
        node = self.graph.producers.get(value)
        return node if node is not None and node.op in ops and not node.domain else None


def _inner(array: np.ndarray, rank: int) -> np.ndarray:
    """A constant without the leading axes of length 1 beyond ``rank``."""
    return array.reshape(array.shape[max(0, array.ndim - rank) :])
