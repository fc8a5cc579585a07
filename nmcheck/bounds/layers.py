"""The certified constant of one node, by operator.

An operator without a rule has no constant: its node is named in the reason, and nothing that passes through it is
certified. Such are layer, instance and group normalization, products of two activations, attention, and a softmax
before the end: none of them is given a constant of 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from nmcheck.bounds.batch_normalization import batch_normalization_bound, channel_factors
from nmcheck.bounds.convolution import Convolution, convolution_of
from nmcheck.bounds.convolution_norm import convolution_bound
from nmcheck.bounds.dense import dense_bound
from nmcheck.bounds.elementwise import SLOPES, elementwise_bound
from nmcheck.bounds.lrn import LocalResponseNormalization, global_bound
from nmcheck.bounds.norm_bound import NormBound
from nmcheck.bounds.pooling import (
    average_pool_bound,
    global_average_pool_bound,
    global_lp_pool_bound,
    lp_pool_bound,
    max_pool_bound,
)
from nmcheck.bounds.rounding import rounded_up
from nmcheck.bounds.sliding_window import SlidingWindow, integers, number, window_of
from nmcheck.bounds.structure import (
    COMBINING,
    NONNEGATIVE_LINEAR,
    PASS_THROUGH,
    REARRANGING,
    SCALES,
    SHIFTS,
    casts_to_float,
    nonnegative_linear_bound,
    pad_repeats,
    repetition,
    scale_bound,
    scale_factors,
)
from nmcheck.errors import UnsupportedError
from nmcheck.execute.on_demand import Tensor, torch
from nmcheck.graph.ir import Graph, Node

if TYPE_CHECKING:
    from nmcheck.execute.program import Program

_MAX_POOLS = frozenset({"GlobalMaxPool", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceLogSumExp"})
"""Each output depends on elements of its own, by a function with a gradient of norm at most 1."""

_FIRST_INPUT_ONLY = (
    frozenset({"Conv", "ConvTranspose", "BatchNormalization", "PRelu"}) | REARRANGING | NONNEGATIVE_LINEAR
)
"""Operators whose weights, indices or sizes have to be constants."""


def is_affine(graph: Graph, node: Node) -> bool:
    """Whether the node is affine in its one live input, so that it can be merged with its neighbours."""
    if len(graph.live_inputs(node)) != 1 or unsupported_reason(graph, node) is not None:
        return False
    affine = PASS_THROUGH | REARRANGING | NONNEGATIVE_LINEAR | SHIFTS | SCALES
    return node.op in affine or node.op in {
        "Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "AveragePool", "GlobalAveragePool", "Neg",
        "Pad", "Cast", "Concat",
    }  # fmt: skip


def unsupported_reason(graph: Graph, node: Node) -> str | None:
    """Why no constant is known for the node, a sentence naming it; None if there is one."""
    first, *others = graph.live_inputs(node)
    subject = f"{node.name} ({node.op})"
    if node.domain not in ("", "ai.onnx") or node.op not in SUPPORTED:
        return f"{subject}: nmcheck has no certified Lipschitz constant for this operator."
    if others:
        if node.op in COMBINING:
            return None
        return f"{subject}: more than one of its inputs depends on the sample, and no constant holds for that."
    if node.op in _FIRST_INPUT_ONLY and first != node.inputs[0]:
        return f"{subject}: its weights, indices or sizes depend on the sample, and no constant holds for that."
    try:
        _check(graph, node)
    except ValueError as error:
        return f"{subject}: {error}"
    return None


def _check(graph: Graph, node: Node) -> None:
    """Raise ValueError for attributes under which an operator has no constant."""
    mode = node.attributes.get("mode", "nearest")
    if node.op == "Cast" and not casts_to_float(node):
        raise ValueError("a cast that rounds its values is not continuous.")
    if node.op == "BatchNormalization" and node.attributes.get("training_mode", 0):
        raise ValueError("in training mode it normalizes by the sample itself.")
    if node.op in ("Resize", "Upsample") and mode not in ("nearest", "linear"):
        raise ValueError(f"mode {mode} has negative weights, for which nmcheck has no rule.")
    if node.op == "Div" and scale_factors(graph, node) is None:
        raise ValueError("it divides by a value that depends on the sample.")
    if node.op in ("LpPool", "GlobalLpPool") and number(node, "p", 2) < 1:
        raise ValueError("Lp pooling with p < 1 is not Lipschitz.")
    if node.op == "LRN":
        lrn_of(node)
    if node.op in SLOPES:
        elementwise_bound(node)
    if node.op == "PRelu" and not np.isfinite(np.asarray(graph.constants[node.inputs[1]], dtype=np.float64)).all():
        raise ValueError("its slope is not finite.")


def lrn_of(node: Node) -> LocalResponseNormalization:
    """The layer of an LRN node, the file's own or a recognized one."""
    return LocalResponseNormalization(
        int(number(node, "size", 0)),
        number(node, "alpha", 1e-4),
        number(node, "beta", 0.75),
        number(node, "bias", 1.0),
    )


def weights_of(graph: Graph, node: Node, position: int) -> Float[Tensor, "*shape"]:
    """A constant input in float64."""
    return torch.from_numpy(np.array(graph.constants[node.inputs[position]], dtype=np.float64))


def convolution_operator(graph: Graph, node: Node) -> Convolution:
    """The linear operator of a Conv or ConvTranspose."""
    return convolution_of(node, weights_of(graph, node, 1), graph.shapes[node.inputs[0]], graph.shapes[node.outputs[0]])


@dataclass(frozen=True)
class DenseOperator:
    """A product with one constant matrix.

    Attributes:
        matrix: W, (outputs, inputs).
        axis_in: axis of the live operand that it acts along, counted from the last one.
        axis_out: the same of the result.
    """

    matrix: Float[Tensor, "outputs inputs"]
    axis_in: int
    axis_out: int


def dense_operator(graph: Graph, node: Node) -> DenseOperator | None:
    """W of a Gemm or MatMul whose constant is a matrix, on either side; None for another arrangement."""
    live = graph.live_inputs(node)
    if len(live) != 1 or live[0] not in node.inputs[:2]:
        return None
    position = 1 - node.inputs.index(live[0])
    if graph.constants[node.inputs[position]].ndim != 2:
        return None
    weight = weights_of(graph, node, position)
    if node.op == "Gemm":
        weight = weight * number(node, "alpha", 1.0)
        turned = [bool(node.attributes.get(name, 0)) for name in ("transA", "transB")]
        if position == 1:
            return DenseOperator(weight if turned[1] else weight.mT, -2 if turned[0] else -1, -1)
        return DenseOperator(weight.mT if turned[0] else weight, -1 if turned[1] else -2, -2)
    if position == 1:
        return DenseOperator(weight.mT, -1, -1)
    axis = -1 if len(graph.shapes[live[0]]) == 1 else -2
    return DenseOperator(weight, axis, axis)


def normalization_factors(graph: Graph, node: Node) -> Float[Tensor, " channels"]:
    """gamma_j / sqrt(var_j + eps) of a BatchNormalization."""
    return channel_factors(weights_of(graph, node, 1), weights_of(graph, node, 4), number(node, "epsilon", 1e-5))


def node_bound(graph: Graph, program: Program, node: Node) -> NormBound:
    """The constant from a node's one live input to its output.

    For an operator with several live inputs it is the constant for a change of all of them together.

    Raises:
        UnsupportedError: none is known; the message names the node.
    """
    reason = unsupported_reason(graph, node)
    if reason is not None:
        raise UnsupportedError(reason)
    first, *others = graph.live_inputs(node)
    if others:
        return _joint_bound(graph, node)
    if node.op in NONNEGATIVE_LINEAR or (node.op == "Pad" and pad_repeats(node)):
        return nonnegative_linear_bound(program.function(first, node.outputs[0]), graph.shapes[first])
    return _RULES[node.op](graph, node)


def _joint_bound(graph: Graph, node: Node) -> NormBound:
    if node.op == "Concat":
        times = max(graph.live_inputs(node).count(value) for value in graph.live_inputs(node))
        return NormBound(1.0 if times == 1 else rounded_up(math.sqrt(times)), "concatenation")
    squares = sum(repetition(graph, node, value) ** 2 for value in graph.live_inputs(node))
    if len(set(graph.live_inputs(node))) < len(graph.live_inputs(node)):
        squares = squares * len(graph.live_inputs(node))
    return NormBound(rounded_up(math.sqrt(squares)), "root of the sum of squares")


def _one(_graph: Graph, _node: Node) -> NormBound:
    return NormBound(1.0, "exact")


def _pool_window(graph: Graph, node: Node) -> SlidingWindow:
    kernel = integers(node, "kernel_shape", ())
    return window_of(node, graph.shapes[node.inputs[0]][2:], graph.shapes[node.outputs[0]][2:], kernel)


def _dense(graph: Graph, node: Node) -> NormBound:
    if node.op == "Gemm":
        live = graph.live_inputs(node)[0]
        if live == node.inputs[0] or live == node.inputs[1]:
            other = weights_of(graph, node, 1 if live == node.inputs[0] else 0)
            return dense_bound(other * number(node, "alpha", 1.0))
        return NormBound(abs(number(node, "beta", 1.0)) * repetition(graph, node, live), "largest factor")
    position = 1 if node.inputs[1] in graph.constants else 0
    weight = weights_of(graph, node, position)
    if weight.ndim == 1:
        weight = weight.unsqueeze(0)
    stack = weight.reshape(-1, *weight.shape[-2:])
    norm = max(dense_bound(matrix).value for matrix in stack)
    return NormBound(norm * _matrix_repetition(graph, node, weight.ndim), "exact SVD")


def _matrix_repetition(graph: Graph, node: Node, weight_axes: int) -> float:
    """Sqrt of how many matrices of a stack each live matrix is multiplied with."""
    if weight_axes <= 2:
        return 1.0
    live, output = graph.shapes[graph.live_inputs(node)[0]], graph.shapes[node.outputs[0]]
    products = math.prod(output[:-1] if len(live) == 1 else output[:-2])
    return rounded_up(math.sqrt(products / max(1, math.prod(live[:-2]))))


def _convolution(graph: Graph, node: Node) -> NormBound:
    return convolution_bound(convolution_operator(graph, node))


def _batch_normalization(graph: Graph, node: Node) -> NormBound:
    return batch_normalization_bound(
        weights_of(graph, node, 1), weights_of(graph, node, 4), number(node, "epsilon", 1e-5)
    )


def _lrn(graph: Graph, node: Node) -> NormBound:
    return global_bound(lrn_of(node), graph.shapes[node.inputs[0]][1])


def _max_pool(graph: Graph, node: Node) -> NormBound:
    return max_pool_bound(_pool_window(graph, node))


def _average_pool(graph: Graph, node: Node) -> NormBound:
    return average_pool_bound(_pool_window(graph, node), bool(node.attributes.get("count_include_pad", 0)))


def _lp_pool(graph: Graph, node: Node) -> NormBound:
    return lp_pool_bound(_pool_window(graph, node), number(node, "p", 2))


def _channel_pixels(graph: Graph, node: Node) -> int:
    return math.prod(graph.shapes[node.inputs[0]][2:])


def _global_average_pool(graph: Graph, node: Node) -> NormBound:
    return global_average_pool_bound(_channel_pixels(graph, node))


def _global_lp_pool(graph: Graph, node: Node) -> NormBound:
    return global_lp_pool_bound(_channel_pixels(graph, node), number(node, "p", 2))


def _reduce_l1(graph: Graph, node: Node) -> NormBound:
    reduced = math.prod(graph.shapes[node.inputs[0]]) / max(1, math.prod(graph.shapes[node.outputs[0]]))
    return NormBound(rounded_up(math.sqrt(reduced)), "Cauchy-Schwarz")


def _scale(graph: Graph, node: Node) -> NormBound:
    factors = scale_factors(graph, node)
    assert factors is not None  # unsupported_reason has refused a live divisor
    return scale_bound(graph, node, factors)


def _broadcast(graph: Graph, node: Node) -> NormBound:
    return NormBound(repetition(graph, node, graph.live_inputs(node)[0]), "exact")


def _prelu(graph: Graph, node: Node) -> NormBound:
    # torch's max keeps a NaN, where Python's passes over it.
    return NormBound(weights_of(graph, node, 1).abs().max().clamp(min=1.0).item(), "largest slope")


def _elementwise(_graph: Graph, node: Node) -> NormBound:
    return elementwise_bound(node)


_RULES: Mapping[str, Callable[[Graph, Node], NormBound]] = {
    **dict.fromkeys(SLOPES, _elementwise),
    **dict.fromkeys(PASS_THROUGH | REARRANGING | _MAX_POOLS | {"Neg", "Pad", "Cast", "Concat"}, _one),
    **dict.fromkeys(SHIFTS | {"Max", "Min", "Sum"}, _broadcast),
    **dict.fromkeys(SCALES, _scale),
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gemm": _dense,
    "MatMul": _dense,
    "BatchNormalization": _batch_normalization,
    "LRN": _lrn,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "LpPool": _lp_pool,
    "GlobalAveragePool": _global_average_pool,
    "GlobalLpPool": _global_lp_pool,
    "ReduceL1": _reduce_l1,
    "PRelu": _prelu,
}

SUPPORTED = frozenset(_RULES) | NONNEGATIVE_LINEAR
"""Operators with a certified constant, under the conditions ``unsupported_reason`` checks."""
