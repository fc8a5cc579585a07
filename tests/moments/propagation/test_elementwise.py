"""Elementwise rules against integrals of the same functions, taken from kink to kink."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nmcheck.moments.propagation.elementwise import Moments, piecewise_linear, smooth
from nmcheck.steps import PiecewiseLinearStep, SmoothStep

Scalar = Callable[[Tensor], Tensor]
SELU = 1.0507009873554805
LINES: dict[str, tuple[Scalar, float, tuple[float, ...], tuple[float, ...]]] = {
    "relu": (torch.relu, 0.0, (0.0,), (1.0,)),
    "leaky": (lambda x: functional.leaky_relu(x, 0.2), 0.2, (0.0,), (0.8,)),
    "negative-slope": (lambda x: functional.leaky_relu(x, -0.5), -0.5, (0.0,), (1.5,)),
    "abs": (torch.abs, -1.0, (0.0,), (2.0,)),
    "clip": (lambda x: x.clamp(-0.3, 0.9), 0.0, (-0.3, 0.9), (1.0, -1.0)),
    "capped": (lambda x: x.clamp(max=0.9), 1.0, (0.9,), (-1.0,)),
    "hard-sigmoid": (lambda x: (0.6 * x + 0.3).clamp(0, 1), 0.0, (-0.5, 0.7 / 0.6), (0.6, -0.6)),
    "soft-shrink": (lambda x: functional.softshrink(x, 0.5), 1.0, (-0.5, 0.5), (-1.0, 1.0)),
    "constant": (lambda x: torch.zeros_like(x) + 2, 0.0, (), ()),
}
CURVES: dict[str, tuple[Scalar, tuple[float, ...]]] = {
    "sigmoid": (torch.sigmoid, ()),
    "tanh": (torch.tanh, ()),
    "gelu": (lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), ()),
    "exp": (torch.exp, ()),
    "square": (torch.square, ()),
    "elu": (lambda x: functional.elu(x, 1.7), (0.0,)),
    "elu-1": (functional.elu, (0.0,)),
    "selu": (lambda x: SELU * functional.elu(x, 1.6732632423543772), (0.0,)),
    "softsign": (functional.softsign, (0.0,)),
    "hard-swish": (lambda x: x * (x / 6 + 0.5).clamp(0, 1), (-3.0, 3.0)),
}
MEANS = (-3.1, -1.0, -0.3, 0.0, 0.4, 2.0)


def line(name: str) -> PiecewiseLinearStep:
    function, slope, kinks, jumps = LINES[name]
    return PiecewiseLinearStep("f", ("x",), ("y",), None, function, slope, kinks, jumps)


def curve(name: str) -> SmoothStep:
    function, kinks = CURVES[name]
    return SmoothStep("f", ("x",), ("y",), None, function, kinks, 1.0 if name == "exp" else None)


def integrals(function: Scalar, kinks: tuple[float, ...], mean: float, sd: float) -> tuple[float, float, float]:
    """E f, Cov(f, x)/s^2 and Var f - that^2 s^2, by Gauss-Legendre on many short panels between the kinks."""
    edges = np.union1d(np.linspace(-13, 13, 400), [z for kink in kinks if abs(z := (kink - mean) / sd) < 13])
    half = 0.5 * np.diff(edges)[:, None]
    places, weights = np.polynomial.legendre.leggauss(12)
    z = (edges[:-1, None] + half * (places + 1)).ravel()
    w = (half * weights).ravel() * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    f = function(torch.from_numpy(mean + sd * z)).numpy()
    center = math.fsum(w * f)
    gate = math.fsum(w * z * (f - center)) / sd
    return center, gate, math.fsum(w * (f - center - gate * sd * z) ** 2)


def response(rule: Callable[..., Moments], step: PiecewiseLinearStep | SmoothStep, mean: float, sd: float) -> Moments:
    return rule(step, *(torch.tensor([number], dtype=torch.float64) for number in (mean, sd)))


def assert_moments(found: Moments, expected: tuple[float, float, float], sd: float, tolerance: float) -> None:
    """Errors in units of the output's own standard deviation."""
    mean, gate, excess = expected
    variance = max(gate**2 * sd**2 + excess, 1e-12 * sd**2)
    assert abs(float(found.mean) - mean) <= tolerance * variance**0.5
    assert abs(float(found.gate) - gate) * sd <= tolerance * variance**0.5
    assert abs(float(found.excess) - excess) <= tolerance * variance


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("sd", [0.05, 0.7, 4.0])
def test_lines_are_exact(name: str, sd: float) -> None:
    for mean in MEANS:
        found = response(piecewise_linear, line(name), mean, sd)
        assert_moments(found, integrals(LINES[name][0], LINES[name][2], mean, sd), sd, 1e-8)


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("sd", [0.05, 0.7, 1.3])
def test_curves_under_noise_no_wider_than_they(name: str, sd: float) -> None:
    """Under wider noise in ``test_quadrature``."""
    for mean in MEANS:
        found = response(smooth, curve(name), mean, sd)
        assert_moments(found, integrals(*CURVES[name], mean, sd), sd, 1e-9)


@pytest.mark.parametrize(("rule", "make", "names"), [(piecewise_linear, line, LINES), (smooth, curve, CURVES)])
def test_no_noise_is_the_function_itself(rule, make, names) -> None:
    mean = torch.tensor([*MEANS, 0.9, -0.5], dtype=torch.float64)
    for name in names:
        found = rule(make(name), mean, torch.zeros_like(mean))
        torch.testing.assert_close(found.mean, names[name][0](mean), rtol=1e-15, atol=0)
        assert not found.excess.any()
        assert found.gate.isfinite().all()


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_from_every_kink_lines_are_affine(name: str, dtype: torch.dtype) -> None:
    function, slope, _, jumps = LINES[name]
    mean, sd = torch.tensor([-1e6, 1e6], dtype=dtype), torch.tensor([1e-3, 1e-3], dtype=dtype)
    found = piecewise_linear(line(name), mean, sd)
    torch.testing.assert_close(found.mean, function(mean), rtol=0, atol=0)
    torch.testing.assert_close(found.gate, torch.tensor([slope, slope + sum(jumps)], dtype=dtype), rtol=1e-6, atol=1e-7)
    assert not found.excess.any()


@pytest.mark.parametrize("name", LINES)
def test_lines_in_float32(name: str) -> None:
    for mean in MEANS:
        double = response(piecewise_linear, line(name), mean, 0.7)
        single = piecewise_linear(line(name), torch.tensor([mean]), torch.tensor([0.7]))
        for one, two in zip(vars(single).values(), vars(double).values(), strict=True):
            assert one.dtype == torch.float32
            torch.testing.assert_close(one.double(), two, rtol=2e-6, atol=3e-7)


@pytest.mark.parametrize("mean", [-0.3, 0.0, 0.2, 0.9])
@pytest.mark.parametrize(("rule", "make", "name"), [(piecewise_linear, line, name) for name in LINES]
    + [(smooth, curve, name) for name in CURVES])  # fmt: skip
def test_the_gate_is_the_derivative_of_the_mean(rule, make, name: str, mean: float) -> None:
    """Also where the mean stands on a kink, whatever torch takes for the derivative there."""
    point = torch.tensor([mean], dtype=torch.float64, requires_grad=True)
    found = rule(make(name), point, torch.tensor([0.6], dtype=torch.float64))
    (slope,) = torch.autograd.grad(found.mean, point, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(slope, found.gate.detach(), rtol=1e-9, atol=1e-9)


def test_slopes_may_differ_by_element() -> None:
    slopes = torch.tensor([0.1, -0.4, 2.0], dtype=torch.float64)
    step = PiecewiseLinearStep(
        "prelu", ("x",), ("y",), None, lambda x: torch.where(x < 0, x * slopes, x), slopes, (0.0,), (1 - slopes,)
    )
    mean, sd = torch.tensor([[0.2, -0.1, 0.3]] * 2, dtype=torch.float64), torch.full((2, 3), 0.5, dtype=torch.float64)
    found = piecewise_linear(step, mean, sd)
    for index, slope in enumerate(slopes):
        one = PiecewiseLinearStep(
            "leaky", ("x",), ("y",), None, lambda x, a=float(slope): functional.leaky_relu(x, a), float(slope), (0.0,),
            (1 - float(slope),),
        )  # fmt: skip
        expected = piecewise_linear(one, mean[:, index], sd[:, index])
        for ours, theirs in zip(vars(found).values(), vars(expected).values(), strict=True):
            np.testing.assert_allclose(ours[:, index], theirs, rtol=1e-13)
