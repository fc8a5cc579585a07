"""Operators that move, repeat, add up or scale values, and how several inputs combine into one change.

For a change of several inputs at once, ``reach`` stands for how far each input can move; every rule gives how far the
output can: a sum moves by the sum, a concatenation by the root of the sum of squares, and so does an elementwise
maximum, since |max(a, b) - max(a', b')| <= max(|a - a'|, |b - b'|).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nmcheck.bounds.norm_bound import NormBound
from nmcheck.bounds.rounding import ALLOWANCE, rounded_up
from nmcheck.execute.on_demand import Tensor, torch
from nmcheck.graph.ir import Graph, Node

PASS_THROUGH = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
"""Operators that only rename or reshape a value."""

REARRANGING = frozenset({"Transpose", "Slice", "Split", "DepthToSpace", "SpaceToDepth", "Trilu"})
"""Operators that move or drop elements and repeat none."""

NONNEGATIVE_LINEAR = frozenset({"Gather", "Expand", "Tile", "Resize", "Upsample", "ReduceSum", "ReduceMean", "CumSum"})
"""Affine operators whose weights are all non-negative, so that two passes over ones give a bound."""

SHIFTS = frozenset({"Add", "Sub"})
SCALES = frozenset({"Mul", "Div"})
_FLOAT_TYPES = frozenset({1, 11})
"""ONNX's codes of float and double."""


def nonnegative_linear_bound(function: Callable[[Tensor], Tensor], shape: Sequence[int]) -> NormBound:
    """sqrt(max row sum * max column sum) of an affine map with non-negative weights.

    The row sums are its derivative along ones, the column sums the gradient of the sum of its outputs. With one source
    an output this is sqrt(max repetition); for a mean over n it is 1/sqrt(n), for a sum sqrt(n).
    """
    origin = torch.zeros(tuple(shape), dtype=torch.float64)
    value = function(origin)
    rows = torch.func.jvp(function, (origin,), (torch.ones_like(origin),))[1]
    columns = torch.func.vjp(function, origin)[1](torch.ones_like(value))[0]
    product = rows.max().item() * columns.max().item()
    return NormBound(1.0 if product == 1 else rounded_up(math.sqrt(product)), "row and column sums")


def repetition(graph: Graph, node: Node, value: str) -> float:
    """Sqrt of how often broadcasting repeats an input's elements in the node's output."""
    ratio = math.prod(graph.shapes[node.outputs[0]]) / max(1, math.prod(graph.shapes[value]))
    return 1.0 if ratio <= 1 else rounded_up(math.sqrt(ratio))


def constant_operand(graph: Graph, node: Node) -> np.ndarray:
    """The constant of a binary operator with one live input, in float64."""
    name = next(value for value in node.inputs if value in graph.constants)
    return np.asarray(graph.constants[name], dtype=np.float64)


def scale_factors(graph: Graph, node: Node) -> np.ndarray | None:
    """What a Mul or Div by a constant multiplies its input with, or None if the input is the divisor."""
    constant = constant_operand(graph, node)
    if node.op == "Mul":
        return constant
    with np.errstate(divide="ignore"):
        # numpy makes a bare number of a quotient without axes.
        return np.asarray(1.0 / constant) if node.inputs[1] in graph.constants else None


def scale_bound(graph: Graph, node: Node, factors: np.ndarray) -> NormBound:
    """Max |factor|, times the repetition where the constant broadcasts the input."""
    largest = float(np.abs(factors).max(initial=0.0)) * repetition(graph, node, graph.live_inputs(node)[0])
    return NormBound(largest * (1 + ALLOWANCE) if node.op == "Div" else largest, "largest factor")


def pad_repeats(node: Node) -> bool:
    """Whether a Pad repeats pixels instead of writing a constant."""
    return node.attributes.get("mode", "constant") != "constant"


def casts_to_float(node: Node) -> bool:
    """Whether a Cast keeps its values: to float or double, not to integers or a narrower type that rounds."""
    return node.attributes.get("to") in _FLOAT_TYPES


def _sum(reach: Sequence[Tensor]) -> Tensor:
    return torch.stack(tuple(reach)).sum(dim=0)


def _root_of_squares(reach: Sequence[Tensor]) -> Tensor:
    return torch.linalg.vector_norm(torch.stack(tuple(reach)), dim=0)


_COMBINE: Mapping[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "Add": _sum,
    "Sub": _sum,
    "Sum": _sum,
    "Concat": _root_of_squares,
    "Max": _root_of_squares,
    "Min": _root_of_squares,
}
COMBINING = frozenset(_COMBINE)
"""Operators with a rule for several live inputs."""


def combined_reach(graph: Graph, node: Node, reach: Sequence[Tensor]) -> Tensor:
    """How far the output of a node with several live inputs moves.

    Args:
        graph: the graph, for broadcasting.
        node: a node whose operator is in ``COMBINING``.
        reach: how far each live input moves, in the order of ``graph.live_inputs``; tensors of one shape.
    """
    if node.op == "Concat":
        return _COMBINE["Concat"](reach)
    repeated = [
        moved * repetition(graph, node, value) for moved, value in zip(reach, graph.live_inputs(node), strict=True)
    ]
    return _COMBINE[node.op](repeated)
