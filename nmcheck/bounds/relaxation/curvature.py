"""How strongly smooth activations curve: upper bounds of |f''| between kinks, from which sound lines follow.

Where a closed form is given it is the maximum, rounded up. Those of Sigmoid, Tanh, Erf, Atan, Asinh, GELU in both
forms, Swish and Mish are proved by interval arithmetic in tests/bounds/relaxation/test_curvature_proofs.py; the others
are one line of calculus each (of Softplus f'' = sigmoid', of Sin and Cos at most 1, of Exp f itself), and every line
that is drawn with them is compared with the function on dense grids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nmcheck.bounds.elementwise import cubic_deviation
from nmcheck.bounds.sliding_window import number
from nmcheck.graph import activation_constants as constants
from nmcheck.graph.activation_constants import gelu_constants, hard_swish_constants
from nmcheck.graph.ir import Graph, Node
from nmcheck.steps import Bound

SIGMOID = 0.096226
"""1 / (6 sqrt 3)."""
TANH = 0.769801
"""4 / (3 sqrt 3)."""
ERF = 0.967883
"""2 sqrt(2 / (pi e))."""
ATAN = 0.649520
"""3 sqrt 3 / 8."""
ASINH = 0.384901
"""2 / (3 sqrt 3)."""
GELU = 0.797885
"""2 phi(0)."""
TANH_GELU = 0.797900
"""The tanh approximation, with a cubic coefficient up to ``elementwise.LARGEST_DEVIATION`` from GELU's."""
SWISH = 0.5
"""At zero, for a = 1; x sigmoid(a x) has a times that."""
MISH = 0.644205
"""0.6442047 at x = -0.0881."""
_ROUNDED = 1 + 1e-12
"""Above the rounding of the arithmetic that makes a bound of a node's own numbers."""

Curvature = Callable[[Graph, Node, Tensor, Tensor], Bound]
"""From a node and the intervals of its input to a bound of |f''| on them."""


def _constant(bound: float) -> Curvature:
    return lambda _graph, _node, _low, _high: bound


def _gelu(_graph: Graph, node: Node, _low: Tensor, _high: Tensor) -> Bound:
    """Both forms are f(t x) / t of GELU's own f, t being how much steeper their argument is (``cubic_deviation``)."""
    found = gelu_constants(node)
    if found.approximate == "none":
        return GELU * abs(found.linear / constants.GELU.linear) * _ROUNDED
    cubic_deviation(found)
    return TANH_GELU * abs(found.linear / constants.TANH_GELU.linear) * _ROUNDED


def _hard_swish(_graph: Graph, node: Node, _low: Tensor, _high: Tensor) -> Bound:
    # x clip(a x + b, 0, h) is a x^2 + b x between its kinks.
    return 2 * abs(hard_swish_constants(node).slope) * _ROUNDED


def _swish(_graph: Graph, node: Node, _low: Tensor, _high: Tensor) -> Bound:
    return SWISH * abs(number(node, "alpha", 1.0))


def _elu(_graph: Graph, node: Node, _low: Tensor, _high: Tensor) -> Bound:
    return abs(number(node, "alpha", 1.0))


def _celu(_graph: Graph, node: Node, _low: Tensor, _high: Tensor) -> Bound:
    alpha = number(node, "alpha", 1.0)
    return 1 / alpha if alpha > 0 else math.inf


def _selu(_graph: Graph, node: Node, _low: Tensor, _high: Tensor) -> Bound:
    alpha = number(node, "alpha", 1.67326319217681884765625)
    return abs(alpha * number(node, "gamma", 1.05070102214813232421875)) * (1 + 1e-12)


def _exponential(_graph: Graph, _node: Node, _low: Tensor, high: Tensor) -> Bound:
    return high.exp()


def _hyperbolic(_graph: Graph, _node: Node, low: Tensor, high: Tensor) -> Bound:
    return torch.maximum(low.abs(), high.abs()).cosh()


def _power(graph: Graph, node: Node, low: Tensor, high: Tensor) -> Bound:
    exponent = float(graph.constants[node.inputs[1]].item())
    size = torch.maximum(low.abs(), high.abs())
    return exponent * (exponent - 1) * size ** (exponent - 2)


CURVATURE: Mapping[str, Curvature] = {
    "Sigmoid": _constant(SIGMOID),
    "Tanh": _constant(TANH),
    "Softplus": _constant(0.25),
    "Erf": _constant(ERF),
    "Atan": _constant(ATAN),
    "Asinh": _constant(ASINH),
    "Sin": _constant(1.0),
    "Cos": _constant(1.0),
    "Softsign": _constant(2.0),
    "HardSwish": _hard_swish,
    "Mish": _constant(MISH),
    "Gelu": _gelu,
    "Swish": _swish,
    "Elu": _elu,
    "Celu": _celu,
    "Selu": _selu,
    "Exp": _exponential,
    "Sinh": _hyperbolic,
    "Cosh": _hyperbolic,
    "Pow": _power,
}
"""By operator; functions with two continuous derivatives between the kinks that their steps name."""

INCREASING = frozenset({"Sigmoid", "Tanh", "Softplus", "Erf", "Atan", "Asinh", "Softsign", "Exp", "Sinh"})
"""Functions whose range over an interval is that between their values at its ends."""
