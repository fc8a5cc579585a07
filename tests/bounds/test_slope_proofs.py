"""The slopes of the smooth activations are upper bounds everywhere: branch and bound in interval arithmetic."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from bounds.networks import Builder, double
from mpmath import iv as intervals
from mpmath import mp, mpf, ncdf, npdf, sqrt

from nmcheck.bounds.elementwise import (
    GELU_SLOPE,
    LARGEST_DEVIATION,
    MISH_SLOPE,
    SWISH_SLOPE,
    TANH_GELU_DRIFT,
    TANH_GELU_SLOPE,
    elementwise_bound,
)
from nmcheck.graph.activation_constants import Gelu, HardSwish
from nmcheck.graph.ir import Node

iv: Any = intervals
"""mpmath's interval arithmetic, whose types are not written down."""
REACH = 40.0
"""Beyond it the second terms of the slopes below are under x^3 exp(-x) < 1e-12, and what is left is 0 or 1."""
CUBIC = 0.044715


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


K = 2 * iv.sqrt(2 / iv.pi)
"""Twice GELU's: 0.5 (1 + tanh u) = sigmoid(2 u)."""


def tanh_gelu(cubic: Any = 1) -> Callable[[Any], Any]:
    c = iv.mpf("0.044715") * cubic

    def slope(x: Any) -> Any:
        s = sigmoid(K * (x + c * x * x * x))
        return s + x * s * (1 - s) * K * (1 + 3 * c * x * x)

    return slope


def tanh_gelu_drift(cubic: Any) -> Callable[[Any], Any]:
    """How that slope grows with ``cubic``: x s' e + x (s'' e v' + s' e'), with v = K (x + c x^3) and e = K c0 x^3."""
    c0 = iv.mpf("0.044715")

    def drift(x: Any) -> Any:
        s = sigmoid(K * (x + c0 * cubic * x * x * x))
        q, first, e = s * (1 - s), K * (1 + 3 * c0 * cubic * x * x), K * c0 * x * x * x
        return q * e + x * (q * (1 - 2 * s) * e * first + q * 3 * K * c0 * x * x)

    return drift


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


def test_the_slope_of_a_tanh_gelu_with_other_constants_is_proved() -> None:
    """The slope at any x moves with the cubic coefficient by at most TANH_GELU_DRIFT; what is not zero is known."""
    edges = [1 - LARGEST_DEVIATION, 1 + LARGEST_DEVIATION]
    assert never_exceeds(tanh_gelu_drift(iv.mpf(edges)), TANH_GELU_DRIFT)
    assert not never_exceeds(tanh_gelu_drift(iv.mpf(1)), TANH_GELU_DRIFT - 2e-3)


@pytest.mark.parametrize("scale", [1.0, -1.0, 0.7, 3.0])
@pytest.mark.parametrize("cubic", [0.97, 0.99, 1.0, 1.001, 1.03])
def test_the_slope_of_a_tanh_gelu_does_not_depend_on_its_scale(scale: float, cubic: float) -> None:
    k = float(K.mid) / 2
    found = Gelu("tanh", k * scale, k * CUBIC * scale**3 * cubic)
    x = torch.linspace(-12, 12, 400_001, dtype=torch.float64) / scale
    measured = steepest(found, x)
    # The bound grows with the deviation to either side, the slope itself at most as fast.
    assert measured <= bound_of(found) < measured + 2 * TANH_GELU_DRIFT * abs(1 - cubic) + 2e-4
    assert measured == pytest.approx(largest(tanh_gelu(cubic)), rel=1e-6)


@pytest.mark.parametrize("factor", [1.05, 0.95, -1.0, float("nan")])
def test_other_cubics_have_no_slope(factor: float) -> None:
    k = float(K.mid) / 2
    with pytest.raises(ValueError, match=r"not those of the tanh approximation|not finite"):
        bound_of(Gelu("tanh", k, k * CUBIC * factor))


@pytest.mark.parametrize("linear", [0.7, 0.70703125, 2.0, -0.5])
def test_the_slope_of_a_gelu_does_not_depend_on_its_scale(linear: float) -> None:
    found = Gelu("none", linear, 0.0)
    measured = steepest(found, torch.linspace(-12, 12, 400_001, dtype=torch.float64))
    assert measured <= bound_of(found) == GELU_SLOPE < measured + 1e-5


@pytest.mark.parametrize(
    "found",
    [HardSwish(1 / 6, 0.5, 1.0), HardSwish(0.1665, 0.4995, 0.999), HardSwish(0.2, 0.9, 0.3), HardSwish(2.0, -0.5, 1.0),
     HardSwish(0.5, 0.0, 2.0), HardSwish(0.2, 0.5, 1.0)],
)  # fmt: skip
def test_the_slope_of_a_hard_swish_is_never_passed_and_nearly_reached(found: HardSwish) -> None:
    measured = steepest(found, torch.linspace(-12, 12, 2_000_001, dtype=torch.float64))
    assert measured <= bound_of(found) * (1 + 1e-9)
    assert bound_of(found) <= measured * 1.0001


def steepest(found: Gelu | HardSwish, x: torch.Tensor) -> float:
    """The largest quotient of differences of what is executed."""
    builder = Builder(tuple(x.shape))
    y = double(builder.graph(builder.node(type(found).__name__, "x", x.shape, (), found.attributes)))(x.unsqueeze(0))[0]
    return float((y.diff() / x.diff()).abs().max())


def bound_of(found: Gelu | HardSwish) -> float:
    op = type(found).__name__
    return elementwise_bound(Node("a", op, "", 20, ("x",), ("y",), found.attributes, 0)).value


def test_the_gelu_has_its_largest_slope_at_the_root_of_two() -> None:
    """Phi(x) + x phi(x) has the derivative (2 - x^2) phi(x)."""
    with mp.workdps(30):
        exact = ncdf(sqrt(2)) + sqrt(2) * npdf(sqrt(2))
        assert 0 < mpf(GELU_SLOPE) - exact < 1e-6


def test_without_constants_of_their_own_they_have_those_of_the_definition() -> None:
    def bound(op: str, **attributes: str) -> float:
        return elementwise_bound(Node("a", op, "", 20, ("x",), ("y",), attributes, 0)).value

    assert bound("HardSwish") == pytest.approx(1.5, rel=2e-12)
    assert bound("Gelu", approximate="tanh") == pytest.approx(TANH_GELU_SLOPE, abs=1e-15)
    assert bound("Gelu") == GELU_SLOPE
