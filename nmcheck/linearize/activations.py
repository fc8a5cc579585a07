"""Elementwise operators as moments see them: slopes and kinks, or smooth with the kinks that are left."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from nmcheck.execute.operands import Operands
from nmcheck.execute.operators.activations import clip_limits
from nmcheck.graph.activation_constants import hard_swish_constants
from nmcheck.steps import Bound

Kinked = tuple[Bound, tuple[Bound, ...], tuple[Bound, ...]]
"""Slope left of all kinks, the kinks in ascending order, and the jumps of the slope."""


def _relu(operands: Operands) -> Kinked:
    return 0.0, (0.0,), (1.0,)


def _leaky(operands: Operands) -> Kinked:
    alpha = operands.number("alpha", 0.01)
    return alpha, (0.0,), (1.0 - alpha,)


def _prelu(operands: Operands) -> Kinked:
    slope = operands.tensor(1)
    return slope, (0.0,), (1.0 - slope,)


def _magnitude(operands: Operands) -> Kinked:
    return -1.0, (0.0,), (2.0,)


def _clip(operands: Operands) -> Kinked:
    return _between(*clip_limits(operands), 1.0)


def _hard_sigmoid(operands: Operands) -> Kinked:
    alpha, beta = operands.number("alpha", 0.2), operands.number("beta", 0.5)
    if alpha == 0:
        return 0.0, (), ()
    low, high = sorted((-beta / alpha, (1.0 - beta) / alpha))
    return _between(low, high, alpha)


def _between(low: float, high: float, slope: float) -> Kinked:
    """A slope between two positions, flat outside; a position that is not finite is no kink."""
    if low >= high:
        return 0.0, (), ()
    kinks = [(position, jump) for position, jump in ((low, slope), (high, -slope)) if math.isfinite(position)]
    return (
        0.0 if math.isfinite(low) else slope,
        tuple(position for position, _ in kinks),
        tuple(jump for _, jump in kinks),
    )


def _soft_shrink(operands: Operands) -> Kinked:
    lambd = operands.number("lambd", 0.5)
    return 1.0, (-lambd, lambd), (-1.0, 1.0)


KINKED: Mapping[str, Callable[[Operands], Kinked]] = {
    "Relu": _relu,
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Abs": _magnitude,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "Shrink": _soft_shrink,
}
"""Continuous piecewise linear functions of one element."""


def _nowhere(_operands: Operands) -> tuple[float, ...]:
    return ()


def _at_zero(_operands: Operands) -> tuple[float, ...]:
    return (0.0,)


def _hard_swish(operands: Operands) -> tuple[float, ...]:
    return hard_swish_constants(operands.node).kinks


SMOOTH: Mapping[str, Callable[[Operands], tuple[float, ...]]] = {
    **dict.fromkeys(("Sigmoid", "Tanh", "Exp", "Erf", "Softplus", "Mish", "Swish", "Gelu"), _nowhere),
    **dict.fromkeys(("Sin", "Cos", "Sinh", "Cosh", "Atan", "Asinh"), _nowhere),
    **dict.fromkeys(("Elu", "Celu", "Selu", "Softsign"), _at_zero),
    "HardSwish": _hard_swish,
}
"""Functions of one element, finite everywhere and smooth, with the places where a derivative jumps all the same.

Functions with poles or an edge (Log, Sqrt, Reciprocal, Tan, Acos, ...) are not among them: under Gaussian noise their
moments need not exist.
"""

HARMONIC: Mapping[str, float] = {"Exp": 1.0, "Sinh": 1.0, "Cosh": 1.0, "Sin": -1.0, "Cos": -1.0}
"""Of those, the ones that are their own second derivative, up to this sign."""
