"""No second derivative exceeds its bound: branch and bound in interval arithmetic, and closed forms for the tails."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from bounds.networks import Builder, double
from mpmath import iv as intervals

from nmcheck.bounds.elementwise import LARGEST_DEVIATION
from nmcheck.bounds.relaxation import curvature
from nmcheck.graph.activation_constants import Gelu, HardSwish

iv: Any = intervals
"""mpmath's interval arithmetic, whose types are not written down."""
REACH = 40.0
"""Beyond it x^3 exp(-x) < 1e-12, and every second derivative here is at most that, but for those that fall like powers:
of Atan 2/x^3, of Asinh 1/x^2 and of Softsign 2/x^3, which are below their bounds at 40 and fall on."""


def sigmoid(x: Any) -> Any:
    return 1 / (1 + iv.exp(-x))


def sigmoid_curve(x: Any) -> Any:
    s = sigmoid(x)
    return s * (1 - s) * (1 - 2 * s)


def tanh_curve(x: Any) -> Any:
    """Tanh x = 2 sigmoid(2 x) - 1."""
    return 8 * sigmoid_curve(2 * x)


def erf_curve(x: Any) -> Any:
    return -4 / iv.sqrt(iv.pi) * x * iv.exp(-x * x)


def gelu_curve(x: Any) -> Any:
    return (2 - x * x) * iv.exp(-x * x / 2) / iv.sqrt(2 * iv.pi)


def tanh_gelu_curve(x: Any) -> Any:
    """x sigmoid(v), v = k (x + c x^3): 2 s' v' + x (s'' v'^2 + s' v''), c as far from GELU's as it may be."""
    k = 2 * iv.sqrt(2 / iv.pi)
    c = iv.mpf("0.044715") * iv.mpf([1 - LARGEST_DEVIATION, 1 + LARGEST_DEVIATION])
    v, first, second = k * (x + c * x * x * x), k * (1 + 3 * c * x * x), k * 6 * c * x
    s = sigmoid(v)
    slope = s * (1 - s)
    return 2 * slope * first + x * (slope * (1 - 2 * s) * first * first + slope * second)


def swish_curve(x: Any) -> Any:
    s = sigmoid(x)
    return s * (1 - s) * (2 + x * (1 - 2 * s))


def mish_curve(x: Any) -> Any:
    """x t with t = tanh(softplus x) = 1 - 2/(w + 2), w = e^x (e^x + 2)."""
    e = iv.exp(x)
    w = e * (e + 2)
    first = 2 * e * (e + 1)
    second = 2 * e * (2 * e + 1)
    gate = 2 * first / (w + 2) ** 2
    bend = 2 * second / (w + 2) ** 2 - 4 * first * first / (w + 2) ** 3
    return 2 * gate + x * bend


def atan_curve(x: Any) -> Any:
    return -2 * x / (1 + x * x) ** 2


def asinh_curve(x: Any) -> Any:
    return -x / ((1 + x * x) * iv.sqrt(1 + x * x))


CURVES: dict[str, tuple[Callable[[Any], Any], float]] = {
    "sigmoid": (sigmoid_curve, curvature.SIGMOID),
    "tanh": (tanh_curve, curvature.TANH),
    "erf": (erf_curve, curvature.ERF),
    "gelu": (gelu_curve, curvature.GELU),
    "tanh-gelu": (tanh_gelu_curve, curvature.TANH_GELU),
    "swish": (swish_curve, curvature.SWISH * (1 + 1e-6)),
    "mish": (mish_curve, curvature.MISH),
    "atan": (atan_curve, curvature.ATAN),
    "asinh": (asinh_curve, curvature.ASINH),
}


def never_exceeds(curve: Callable[[Any], Any], bound: float, low: float = -REACH, high: float = REACH) -> bool:
    """Whether |f''| <= bound on all of [low, high], by halving intervals until each enclosure says so."""
    pieces = int(2 * (high - low))
    todo = [(low + step * (high - low) / pieces, low + (step + 1) * (high - low) / pieces) for step in range(pieces)]
    while todo:
        start, end = todo.pop()
        found = curve(iv.mpf([start, end]))
        if found.b <= bound and found.a >= -bound:
            continue
        if end - start < 1e-7:
            return False
        middle = (start + end) / 2
        todo += [(start, middle), (middle, end)]
    return True


@pytest.mark.parametrize("name", CURVES)
def test_no_second_derivative_exceeds_its_bound(name: str) -> None:
    curve, bound = CURVES[name]
    assert never_exceeds(curve, bound)


@pytest.mark.parametrize(
    "found",
    [Gelu("none", 0.70703125, 0.0), Gelu("none", -2.0, 0.0), Gelu("tanh", 0.7978, 0.0357), Gelu("tanh", 1.2, 0.123),
     HardSwish(0.16650390625, 0.49951171875, 0.9990234375), HardSwish(2.0, -0.5, 1.0)],
)  # fmt: skip
def test_the_bound_follows_constants_of_a_node_s_own(found: Gelu | HardSwish) -> None:
    """The second differences of what is executed, away from kinks, come near the bound and do not pass it."""
    op = type(found).__name__
    x = torch.linspace(-6, 6, 120_001, dtype=torch.float64)
    builder = Builder(tuple(x.shape))
    graph = builder.graph(builder.node(op, "x", x.shape, (), found.attributes))
    (node,) = graph.nodes
    step = float(x[1] - x[0])
    bends = double(graph)(x.unsqueeze(0))[0].diff().diff().abs() / step**2
    kinks = torch.tensor(found.kinks if isinstance(found, HardSwish) else (), dtype=torch.float64)
    smooth = (x[1:-1].unsqueeze(1) - kinks).abs().gt(2 * step).all(dim=1)
    bound = curvature.CURVATURE[op](graph, node, x, x)
    measured = float(bends[smooth].max())
    assert 0.995 * bound < measured < bound + 1e-6


@pytest.mark.parametrize("name", CURVES)
def test_the_bounds_are_not_far_off(name: str) -> None:
    curve, bound = CURVES[name]
    largest = max(abs(float(curve(iv.mpf(-3 + step / 500)).mid)) for step in range(3001))
    assert largest > 0.995 * bound
