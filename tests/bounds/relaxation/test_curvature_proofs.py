"""No second derivative exceeds its bound: branch and bound in interval arithmetic, and closed forms for the tails."""

from collections.abc import Callable
from typing import Any

import pytest
from mpmath import iv as intervals

from nmcheck.bounds.relaxation import curvature

iv: Any = intervals
"""mpmath's interval arithmetic, whose types are not written down."""
REACH = 40.0
"""Beyond it x^3 exp(-x) < 1e-12, and every second derivative here is at most that, but for those that fall like powers:
of Atan 2/x^3, of Asinh 1/x^2 and of Softsign 2/x^3, which are below their bounds at 40 and fall on."""
EDGE = 2.0**-11
"""Half a unit in float16's last place, relative."""


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
    """x sigmoid(v), v = k (x + c x^3): 2 s' v' + x (s'' v'^2 + s' v''), the constants within float16's rounding."""
    near = iv.mpf([1 - EDGE, 1 + EDGE])
    k, c = 2 * iv.sqrt(2 / iv.pi) * near, iv.mpf("0.044715") * near
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


@pytest.mark.parametrize("name", CURVES)
def test_the_bounds_are_not_far_off(name: str) -> None:
    curve, bound = CURVES[name]
    largest = max(abs(float(curve(iv.mpf(-3 + step / 500)).mid)) for step in range(3001))
    assert largest > 0.995 * bound
