"""Lipschitz constants of activations: the largest slope, computed ones rounded up in the last digit given.

Those of GELU, Swish and Mish are the slope at the one place on the right where its own derivative is zero; on the left,
where x is negative, it is smaller in magnitude. That no slope anywhere exceeds the numbers below is proved by interval
arithmetic in tests/bounds/test_slope_proofs.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from nmcheck.bounds.norm_bound import NormBound
from nmcheck.bounds.sliding_window import number
from nmcheck.graph.activation_constants import TANH_GELU, Gelu, gelu_constants, hard_swish_constants
from nmcheck.graph.ir import Node

ERF_SLOPE = 1.128380
"""2/sqrt(pi) = 1.1283791..."""
GELU_SLOPE = 1.128905
"""Phi(x) + x phi(x) at x = sqrt 2."""
TANH_GELU_SLOPE = 1.129005
"""The tanh approximation of GELU is a little steeper: 1.1289931 at x = 1.4185."""
TANH_GELU_DRIFT = 0.030
"""How fast that grows with the cubic coefficient's deviation from GELU's, relative to it (``cubic_deviation``)."""
LARGEST_DEVIATION = 2.0**-5
"""Of the cubic coefficient, up to which slope and curvature of the tanh approximation are known."""
SWISH_SLOPE = 1.099840
"""1.0998393 at x = 2.3994 for a = 1; x sigmoid(a x) has the slope of a = 1 at a x, whatever a."""
MISH_SLOPE = 1.088500
"""1.0884982 at x = 1.4906."""
_ROUNDED = 1 + 1e-12
"""Above the rounding of the arithmetic that makes a constant of a node's own numbers."""


def _constant(slope: float) -> Callable[[Node], float]:
    return lambda _node: slope


def _leaky(node: Node) -> float:
    return max(1.0, abs(number(node, "alpha", 0.01)))


def _elu(node: Node) -> float:
    return max(1.0, abs(number(node, "alpha", 1.0)))


def _celu(node: Node) -> float:
    # max(0, x) + min(0, a (exp(x/a) - 1)): for a <= 0 the slope exp(x/a) has no limit.
    alpha = number(node, "alpha", 1.0)
    if not alpha > 0:
        raise ValueError(f"its slope has no limit for alpha = {alpha}.")
    return 1.0


def _selu(node: Node) -> float:
    alpha = abs(number(node, "alpha", 1.67326319217681884765625))
    return abs(number(node, "gamma", 1.05070102214813232421875)) * max(1.0, alpha) * (1 + 1e-12)


def _hard_sigmoid(node: Node) -> float:
    return abs(number(node, "alpha", 0.2))


def cubic_deviation(found: Gelu) -> float:
    """How far a tanh approximation with constants b and c is from GELU's, apart from a change of scale: |r - 1|.

    With k = sqrt(2 / pi) and t = b / k it is T_r(t x) / t for

        T_r(z) = z (1 + tanh(k (z + 0.044715 r z^3))) / 2,    r = (c / b) / 0.044715 (k / b)^2.

    T_1 is GELU's own, T_r(t x) / t has the slopes of T_r, and its second derivatives are t times those of T_r.

    Raises:
        ValueError: r is so far from 1 that nothing is known of T_r.
    """
    scale = TANH_GELU.linear / found.linear
    deviation = abs(found.cubic / TANH_GELU.cubic * scale**3 - 1)
    if not deviation <= LARGEST_DEVIATION:
        raise ValueError(f"its constants {found.linear} and {found.cubic} are not those of the tanh approximation.")
    return deviation


def _gelu(node: Node) -> float:
    found = gelu_constants(node)
    # x (1 + erf(a x)) / 2 has the slope of a = 1 / sqrt 2 at another place, whatever a.
    return GELU_SLOPE if found.approximate == "none" else TANH_GELU_SLOPE + TANH_GELU_DRIFT * cubic_deviation(found)


def _hard_swish(node: Node) -> float:
    # x clip(a x + b, 0, h) has the slope 2 a x + b between its kinks, from -b to 2 h - b, and 0 or h outside.
    found = hard_swish_constants(node)
    if not (found.slope > 0 and found.top > 0):
        raise ValueError(f"its slope {found.slope} and its upper bound {found.top} are not positive.")
    return max(abs(found.shift), abs(2 * found.top - found.shift), found.top) * _ROUNDED


SLOPES: Mapping[str, Callable[[Node], float]] = {
    "Relu": _constant(1.0),
    "LeakyRelu": _leaky,
    "Elu": _elu,
    "Celu": _celu,
    "Selu": _selu,
    "Tanh": _constant(1.0),
    "Softplus": _constant(1.0),
    "Softsign": _constant(1.0),
    "Sigmoid": _constant(0.25),
    "HardSigmoid": _hard_sigmoid,
    "Erf": _constant(ERF_SLOPE),
    "Gelu": _gelu,
    "Swish": _constant(SWISH_SLOPE),
    "Mish": _constant(MISH_SLOPE),
    "HardSwish": _hard_swish,
    "Clip": _constant(1.0),
    "Abs": _constant(1.0),
    "Sin": _constant(1.0),
    "Cos": _constant(1.0),
    "Atan": _constant(1.0),
}
"""Largest slope by operator."""


def elementwise_bound(node: Node) -> NormBound:
    """The largest slope of an activation.

    Raises:
        KeyError: the operator is not in ``SLOPES``.
        ValueError: its attributes give it no finite slope.
    """
    numbers = [value for value in node.attributes.values() if isinstance(value, float)]
    slope = SLOPES[node.op](node)
    # max() passes over a NaN, so the attributes are looked at themselves.
    if not all(map(math.isfinite, [*numbers, slope])):
        raise ValueError("its slope is not finite.")
    return NormBound(slope, "largest slope")
