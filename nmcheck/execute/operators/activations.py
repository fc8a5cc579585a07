"""Functions of one element, and the softmaxes."""

from __future__ import annotations

import math
from collections.abc import Callable

from nmcheck.execute.on_demand import Tensor, functional, torch
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.operators.arithmetic import elementwise
from nmcheck.execute.row import Kind, OperatorRow
from nmcheck.graph.activation_constants import gelu_constants, hard_swish_constants
from nmcheck.graph.ir import Graph, Node

_SOFTPLUS_THRESHOLD = 40.0
"""From here on log(1 + e^x) is x in double precision."""


def leaky_relu(operands: Operands) -> Function:
    """LeakyRelu: x, or alpha x below zero."""
    alpha = operands.number("alpha", 0.01)
    return lambda x: functional.leaky_relu(x, alpha)


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    # torch's own prelu breaks under nested vmap.
    return torch.where(x < 0, x * slope, x)


def _prelu_kind(node: Node, graph: Graph) -> Kind:
    return Kind.PIECEWISE_LINEAR if node.inputs[1] in graph.constants else Kind.SMOOTH


def elu(operands: Operands) -> Function:
    """Elu: x, or alpha (e^x - 1) below zero."""
    alpha = operands.number("alpha", 1.0)
    return lambda x: functional.elu(x, alpha)


def celu(operands: Operands) -> Function:
    """Celu: max(0, x) + min(0, alpha (e^(x/alpha) - 1))."""
    alpha = operands.number("alpha", 1.0)
    return lambda x: functional.celu(x, alpha)


def selu(operands: Operands) -> Function:
    """Selu: gamma x, or gamma alpha (e^x - 1) below zero."""
    alpha, gamma = (
        operands.number("alpha", 1.67326319217681884765625),
        operands.number("gamma", 1.05070102214813232421875),
    )
    return lambda x: gamma * functional.elu(x, alpha)


def thresholded_relu(operands: Operands) -> Function:
    """ThresholdedRelu: x above alpha, else 0."""
    alpha = operands.number("alpha", 1.0)
    return lambda x: torch.where(x > alpha, x, torch.zeros_like(x))


def hard_sigmoid(operands: Operands) -> Function:
    """HardSigmoid: alpha x + beta, kept in [0, 1]."""
    alpha, beta = operands.number("alpha", 0.2), operands.number("beta", 0.5)
    return lambda x: torch.clamp(alpha * x + beta, 0.0, 1.0)


def _softplus(x: Tensor) -> Tensor:
    # By default torch takes x itself from 20 on, which is 2e-9 less.
    return functional.softplus(x, threshold=_SOFTPLUS_THRESHOLD)


def _mish(x: Tensor) -> Tensor:
    return x * torch.tanh(_softplus(x))


def swish(operands: Operands) -> Function:
    """Swish: x sigmoid(alpha x)."""
    alpha = operands.number("alpha", 1.0)
    return lambda x: x * torch.sigmoid(alpha * x)


def gelu(operands: Operands) -> Function:
    """Gelu: x Phi(x), or its tanh approximation, with the constants of ``graph.activation_constants``."""
    found = gelu_constants(operands.node)
    linear, cubic = found.linear, found.cubic
    if found.approximate == "tanh":
        return lambda x: 0.5 * x * (1 + torch.tanh(x * (linear + cubic * x * x)))
    return lambda x: 0.5 * x * (1 + torch.erf(linear * x))


def hard_swish(operands: Operands) -> Function:
    """HardSwish: x clip(x / 6 + 1/2, 0, 1), with the constants of ``graph.activation_constants``."""
    found = hard_swish_constants(operands.node)
    slope, shift, top = found.slope, found.shift, found.top
    return lambda x: x * torch.clamp(slope * x + shift, 0.0, top)


def shrink(operands: Operands) -> Function:
    """Shrink: x + bias below -lambd, x - bias above lambd, else 0."""
    lambd, bias = operands.number("lambd", 0.5), operands.number("bias", 0.0)

    def apply(x: Tensor) -> Tensor:
        zero = torch.zeros_like(x)
        return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero))

    return apply


def clip_limits(operands: Operands) -> tuple[float, float]:
    """The bounds of a Clip, by attribute or by input; infinite where one is left out."""
    if operands.node.since_version < 11:
        return operands.number("min", -math.inf), operands.number("max", math.inf)
    low, high = (
        default if (bound := operands.static(position)) is None else float(bound.item())
        for position, default in ((1, -math.inf), (2, math.inf))
    )
    return low, high


def clip(operands: Operands) -> Function:
    """Clip to [min, max]; a bound left out does not bind."""
    low, high = clip_limits(operands)
    # Where max lies below min, ONNX takes max.
    return lambda x: torch.clamp(torch.clamp(x, min=low), max=high)


def softmax(operands: Operands) -> Function:
    """Softmax along an axis; before operator set 13, over all axes from ``axis`` on."""
    return _normalized(operands, torch.softmax)


def log_softmax(operands: Operands) -> Function:
    """LogSoftmax, axes as for ``softmax``."""
    return _normalized(operands, torch.log_softmax)


def _normalized(operands: Operands, function: Callable[..., Tensor]) -> Function:
    shape = operands.shape(0)
    if operands.node.since_version >= 13:
        axis = operands.integer("axis", -1)
        return lambda x: function(x, dim=axis)
    axis = operands.integer("axis", 1)
    rows = math.prod(shape[: axis if axis >= 0 else axis + len(shape)])
    return lambda x: function(x.reshape(rows, -1), dim=1).reshape(shape)


def argmax(operands: Operands) -> Function:
    """ArgMax and ArgMin; of equal elements the first, or with ``select_last_index`` the last."""
    axis, keep = operands.integer("axis", 0), bool(operands.integer("keepdims", 1))
    pick = torch.argmax if operands.node.op == "ArgMax" else torch.argmin
    if operands.integer("select_last_index", 0):
        last = operands.shape(0)[axis] - 1
        return lambda x: last - pick(x.flip(axis), dim=axis, keepdim=keep)
    return lambda x: pick(x, dim=axis, keepdim=keep)


_SMOOTH: dict[str, Callable[..., Tensor]] = {
    "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Exp": torch.exp, "Log": torch.log, "Sqrt": torch.sqrt,
    "Reciprocal": torch.reciprocal, "Erf": torch.erf, "Softplus": _softplus, "Softsign": functional.softsign,
    "Mish": _mish,
    "Sin": torch.sin, "Cos": torch.cos, "Tan": torch.tan, "Sinh": torch.sinh,
    "Cosh": torch.cosh, "Asin": torch.asin, "Acos": torch.acos, "Atan": torch.atan, "Asinh": torch.asinh,
    "Acosh": torch.acosh, "Atanh": torch.atanh,
}  # fmt: skip
_PIECEWISE: dict[str, Callable[..., Tensor]] = {
    "Relu": torch.relu, "Abs": torch.abs, "Sign": torch.sign, "Floor": torch.floor, "Ceil": torch.ceil,
    "Round": torch.round,
}  # fmt: skip

ROWS = (
    *(OperatorRow(op, Kind.SMOOTH, elementwise(function)) for op, function in _SMOOTH.items()),
    *(OperatorRow(op, Kind.PIECEWISE_LINEAR, elementwise(function)) for op, function in _PIECEWISE.items()),
    OperatorRow("LeakyRelu", Kind.PIECEWISE_LINEAR, leaky_relu),
    OperatorRow("PRelu", Kind.PIECEWISE_LINEAR, elementwise(_prelu), _prelu_kind),
    OperatorRow("ThresholdedRelu", Kind.PIECEWISE_LINEAR, thresholded_relu),
    OperatorRow("HardSigmoid", Kind.PIECEWISE_LINEAR, hard_sigmoid),
    OperatorRow("Shrink", Kind.PIECEWISE_LINEAR, shrink),
    OperatorRow("Clip", Kind.PIECEWISE_LINEAR, clip),
    OperatorRow("Elu", Kind.SMOOTH, elu),
    OperatorRow("Celu", Kind.SMOOTH, celu),
    OperatorRow("Selu", Kind.SMOOTH, selu),
    OperatorRow("Swish", Kind.SMOOTH, swish),
    OperatorRow("Gelu", Kind.SMOOTH, gelu),
    OperatorRow("HardSwish", Kind.SMOOTH, hard_swish),
    OperatorRow("Softmax", Kind.SMOOTH, softmax),
    OperatorRow("LogSoftmax", Kind.SMOOTH, log_softmax),
    OperatorRow("ArgMax", Kind.PIECEWISE_LINEAR, argmax),
    OperatorRow("ArgMin", Kind.PIECEWISE_LINEAR, argmax),
)
