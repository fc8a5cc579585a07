"""The slopes of the smooth activations are upper bounds everywhere: branch and bound in interval arithmetic."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from mpmath import iv as intervals
from mpmath import mp, mpf, ncdf, npdf, sqrt

from nmcheck.bounds.elementwise import (
    GELU_SLOPE,
    HARD_SWISH_SLOPE,
    MISH_SLOPE,
    ROUNDED_TANH_GELU_SLOPE,
    SWISH_SLOPE,
    TANH_GELU_SLOPE,
    elementwise_bound,
)
from nmcheck.graph.ir import Node

iv: Any = intervals
"""mpmath's interval arithmetic, whose types are not written down."""
REACH = 40.0
"""Beyond it the second terms of the slopes below are under x^3 exp(-x) < 1e-12, and what is left is 0 or 1."""
CUBIC = 0.044715
EDGE = 2.0**-11


def sigmoid(x: Any) -> Any:
    return 1 / (1 + iv.exp(-x))


def swish(x: Any) -> Any:
    s = sigmoid(x)
    return s + x * s * (1 - s)


def mish(x: Any) -> Any:
    """Tanh(softplus(x)) = w / (w + 2) with w = e^x (e^x + 2), and its derivative."""
    e = iv.exp(x)
    w = e * (e + 2)
    gate = 1 - 2 / (w + 2)
    return gate + x * 4 * e * (1 + e) / (w + 2) ** 2


def tanh_gelu(scale: float = 1.0, cubic: float = 1.0) -> Callable[[Any], Any]:
    """0.5 (1 + tanh u) = sigmoid(2 u)."""
    k = 2 * iv.sqrt(2 / iv.pi) * scale

    def slope(x: Any) -> Any:
        s = sigmoid(k * (x + iv.mpf(CUBIC) * cubic * x * x * x))
        return s + x * s * (1 - s) * k * (1 + 3 * iv.mpf(CUBIC) * cubic * x * x)

    return slope


def never_exceeds(slope: Callable[[Any], Any], bound: float) -> bool:
    """Whether |slope| <= bound on all of [-REACH, REACH], by halving intervals until each enclosure says so."""
    todo = [(-REACH + step / 4, -REACH + (step + 1) / 4) for step in range(int(8 * REACH))]
    while todo:
        low, high = todo.pop()
        found = slope(iv.mpf([low, high]))
        if found.b <= bound and found.a >= -bound:
            continue
        if high - low < 1e-7:
            return False
        middle = (low + high) / 2
        todo += [(low, middle), (middle, high)]
    return True


def largest(slope: Callable[[Any], Any]) -> float:
    return max(float(slope(iv.mpf(0.8 + step / 1000)).a) for step in range(2000))


@pytest.mark.parametrize(
    ("slope", "bound"),
    [(swish, SWISH_SLOPE), (mish, MISH_SLOPE), (tanh_gelu(), TANH_GELU_SLOPE)],
    ids=["swish", "mish", "tanh-gelu"],
)
def test_the_slope_is_proved_and_tight(slope: Callable[[Any], Any], bound: float) -> None:
    assert never_exceeds(slope, bound)
    assert not never_exceeds(slope, bound - 1e-4)
    assert largest(slope) > bound - 2e-5


def test_a_tanh_gelu_with_rounded_constants_has_the_slope_of_the_rounded() -> None:
    """Only the cubic's coefficient times scale^-2 matters: x -> scale x changes no slope. Its extremes are enough.

    The slope is affine in neither, so the corners and their middles are tried; the corner's is the largest.
    """
    steps = (1 - EDGE, 1.0, 1 + EDGE)
    found = {(scale, cubic): largest(tanh_gelu(scale, cubic)) for scale, cubic in product(steps, steps)}
    assert max(found, key=lambda key: found[key]) == (1 - EDGE, 1 + EDGE)
    assert never_exceeds(tanh_gelu(1 - EDGE, 1 + EDGE), ROUNDED_TANH_GELU_SLOPE)
    assert not never_exceeds(tanh_gelu(1 - EDGE, 1 + EDGE), TANH_GELU_SLOPE)


def test_the_gelu_has_its_largest_slope_at_the_root_of_two() -> None:
    """Phi(x) + x phi(x) has the derivative (2 - x^2) phi(x)."""
    with mp.workdps(30):
        exact = ncdf(sqrt(2)) + sqrt(2) * npdf(sqrt(2))
        assert 0 < mpf(GELU_SLOPE) - exact < 1e-6


def test_only_spelled_out_ones_pay_for_rounded_constants() -> None:
    def bound(op: str, recognized_from: Any, **attributes: str) -> float:
        node = Node("a", op, "", 20, ("x",), ("y",), attributes, 0, recognized_from)
        return elementwise_bound(node).value

    assert bound("HardSwish", "op") == HARD_SWISH_SLOPE == 1.5
    assert bound("HardSwish", "pattern") == 1.5 * (1 + EDGE)
    assert bound("Gelu", "op", approximate="tanh") == TANH_GELU_SLOPE
    assert bound("Gelu", "pattern", approximate="tanh") == ROUNDED_TANH_GELU_SLOPE
    assert bound("Gelu", "pattern") == bound("Gelu", "op") == GELU_SLOPE
