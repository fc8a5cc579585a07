"""Logits that are the same function of the input, read off the weights: equal rows, biases and all that follows.

In real arithmetic such logits are equal everywhere, and the first of them is predicted, never another (``decision``).
A matrix product may round equal rows differently, by their place among the rows, so computed values do not show it:
torch's does so in a third of the cases, in float32 and in float64. It is found by going back from the logits through
what treats every class by itself, or moves elements about, to the first layer with weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Int64

from nmcheck.graph.ir import Graph, Node

_MOVING = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that keep the elements and their order."""
_ALONE = frozenset(
    {"Abs", "Celu", "Clip", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Mish", "Neg",
     "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu"}
)  # fmt: skip
"""Operators that do the same to every element."""
_WITH_CONSTANT = frozenset({"Add", "Div", "Max", "Min", "Mul", "PRelu", "Pow", "Sub", "Where"})
"""Operators that do the same to every element and a constant that broadcasts against it."""
_PROBED = 4
"""Weights of a class that are compared first; nearly always they differ."""


@dataclass(frozen=True, eq=False)
class EqualLogits:
    """Which logits are equal, whatever the input.

    Attributes:
        first: of every class, the first class whose logit is the same function; itself where there is none.
        inner: values between that function's argument and the logits. Where one of these is changed by itself, the
            logits need not stay equal.
    """

    first: Int64[np.ndarray, " classes"]
    inner: frozenset[str]

    @property
    def never(self) -> tuple[int, ...]:
        """The classes that are never predicted, as another one before them always has the same logit."""
        return tuple(int(c) for c in np.flatnonzero(self.first != np.arange(len(self.first))))

    def holds_for(self, sources: Collection[str]) -> bool:
        """Whether some logits stay equal when these values are changed."""
        return bool(self.never) and self.inner.isdisjoint(sources)


def equal_logits(graph: Graph) -> EqualLogits:
    """The equal logits of a network.

    Layers are recognised whose weights are constants of the file; what is equal for another reason is not found, and
    its computed values decide.
    """
    classes = prod(graph.shapes[graph.logits])
    # For every class the elements of the current value that its logit is made of, alike for all, and what with.
    trail = _Trail(np.arange(classes)[:, None], [])
    value, inner = graph.logits, set[str]()
    while value in graph.producers:
        node = graph.producers[value]
        if len(graph.live_inputs(node)) != 1:
            break
        found = _RULES[node.op](graph, node, trail) if node.op in _RULES and not node.domain else None
        if found is None:
            break
        inner.add(value)
        trail, value = found, graph.live_inputs(node)[0]
        if node.op in _WEIGHTED:
            break
    return EqualLogits(_first_alike([trail.places, *trail.made_with]), frozenset(inner))


@dataclass(frozen=True)
class _Trail:
    """What every class's logit is made of, a row each.

    Attributes:
        places: elements of a value, flattened.
        made_with: constants.
    """

    places: Int64[np.ndarray, "classes elements"]
    made_with: list[np.ndarray]

    def over(self, places: np.ndarray, *made_with: np.ndarray) -> _Trail:
        """One step further from the logits."""
        return _Trail(places, [*self.made_with, *(row.reshape(len(places), -1) for row in made_with)])


_Rule = Callable[[Graph, Node, _Trail], _Trail | None]


def _shapes(graph: Graph, node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return graph.shapes[graph.live_inputs(node)[0]], graph.shapes[node.outputs[0]]


def _moving(graph: Graph, node: Node, trail: _Trail) -> _Trail | None:
    before, after = _shapes(graph, node)
    return trail if prod(before) == prod(after) else None


def _transpose(graph: Graph, node: Node, trail: _Trail) -> _Trail | None:
    before, _ = _shapes(graph, node)
    perm = node.attributes.get("perm")
    order = perm if isinstance(perm, tuple) else tuple(reversed(range(len(before))))
    moved = np.arange(prod(before)).reshape(before).transpose([int(axis) for axis in order])
    return trail.over(moved.ravel()[trail.places])


def _alone(graph: Graph, node: Node, trail: _Trail) -> _Trail | None:
    others = (graph.constants[name] for name in node.inputs if name in graph.constants)
    return trail if all(other.size == 1 for other in others) else None


def _with_constant(graph: Graph, node: Node, trail: _Trail) -> _Trail | None:
    before, after = _shapes(graph, node)
    places = np.broadcast_to(np.arange(prod(before)).reshape(before), after).ravel()[trail.places]
    others = [graph.constants[name] for name in node.inputs if name in graph.constants]
    return trail.over(places, *(np.broadcast_to(other, after).ravel()[trail.places] for other in others))


def _batch_normalization(graph: Graph, node: Node, trail: _Trail) -> _Trail | None:
    _, after = _shapes(graph, node)
    if len(after) < 2 or graph.live_inputs(node) != node.inputs[:1]:
        return None
    channels = trail.places // prod(after[2:]) % after[1]
    return trail.over(trail.places, *(graph.constants[name][channels] for name in node.inputs[1:5]))


def _pooled(graph: Graph, node: Node, trail: _Trail) -> _Trail | None:
    """Every channel as a whole."""
    before, after = _shapes(graph, node)
    pixels = prod(before[2:])
    if len(before) < 3 or prod(after) != prod(before[:2]) or trail.places.shape[1] != 1:
        return None
    return trail.over(trail.places * pixels + np.arange(pixels))


def _reduced_mean(graph: Graph, node: Node, trail: _Trail) -> _Trail | None:
    before, _ = _shapes(graph, node)
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1] in graph.constants:
        axes = tuple(int(axis) for axis in graph.constants[node.inputs[1]].ravel())
    if not isinstance(axes, tuple) or {int(axis) % len(before) for axis in axes} != set(range(2, len(before))):
        return None
    return _pooled(graph, node, trail)


def _gemm(graph: Graph, node: Node, trail: _Trail) -> _Trail | None:
    _, after = _shapes(graph, node)
    if graph.live_inputs(node) != node.inputs[:1] or trail.places.shape[1] != 1:
        return None
    weight = graph.constants[node.inputs[1]]
    rows, columns = np.divmod(trail.places, after[1])
    made_with = [(weight if node.attributes.get("transB", 0) else weight.T)[columns[:, 0]]]
    if len(node.inputs) > 2 and node.inputs[2]:
        made_with.append(np.broadcast_to(graph.constants[node.inputs[2]], after).ravel()[trail.places])
    return trail.over(rows, *made_with)


def _matmul(graph: Graph, node: Node, trail: _Trail) -> _Trail | None:
    before, after = _shapes(graph, node)
    left = node.inputs[0] in graph.constants
    weight = graph.constants.get(node.inputs[0 if left else 1])
    if weight is None or weight.ndim != 2 or trail.places.shape[1] != 1:
        return None
    if not left:
        rows, columns = np.divmod(trail.places, weight.shape[1])
        return trail.over(rows, weight.T[columns[:, 0]])
    if len(before) > 2:
        return None
    rows, columns = np.divmod(trail.places, after[1] if len(before) == 2 else 1)
    return trail.over(columns, weight[rows[:, 0]])


def _conv(graph: Graph, node: Node, trail: _Trail) -> _Trail | None:
    _, after = _shapes(graph, node)
    channels, pixels = np.divmod(trail.places, prod(after[2:]))
    own = channels[:, 0]
    if graph.live_inputs(node) != node.inputs[:1] or after[0] != 1 or (channels != own[:, None]).any():
        return None
    group = own // (after[1] // int(node.attributes.get("group", 1)))  # pyright: ignore[reportArgumentType]
    made_with = [graph.constants[name][own] for name in node.inputs[1:3] if name]
    return trail.over(pixels, group, *made_with)


_WEIGHTED: Mapping[str, _Rule] = {"Conv": _conv, "Gemm": _gemm, "MatMul": _matmul}
_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(_MOVING, _moving),
    **dict.fromkeys(_ALONE, _alone),
    **dict.fromkeys(_WITH_CONSTANT, _with_constant),
    "Transpose": _transpose,
    "BatchNormalization": _batch_normalization,
    "GlobalAveragePool": _pooled,
    "GlobalMaxPool": _pooled,
    "ReduceMean": _reduced_mean,
    **_WEIGHTED,
}


def _first_alike(parts: list[np.ndarray]) -> Int64[np.ndarray, " classes"]:
    """Of every row, the first row that is equal in all parts."""
    classes = len(parts[0])
    first = np.arange(classes)
    probes = np.concatenate([part[:, :_PROBED].astype(np.float64) for part in parts], axis=1)
    _, kind, count = np.unique(probes, axis=0, return_inverse=True, return_counts=True)
    seen: dict[bytes, int] = {}
    for row in np.flatnonzero(count[kind.reshape(-1)] > 1):
        digest = hashlib.sha256()
        for part in parts:
            # Zeros of either sign are one number.
            digest.update((part[row] + 0).tobytes())
        first[row] = seen.setdefault(digest.digest(), int(row))
    return first
