"""Smooth functions under noise from a thousandth of their width to a thousand times it: what is stated is true."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from models import node
from moments.propagation.networks import network_from, point
from torch import Tensor
from torch.nn import functional

from nmcheck.execute.program import Program
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.normal import normal_cdf
from nmcheck.moments.propagation.elementwise import Moments, smooth
from nmcheck.moments.propagation.hermite import smooth_hermite
from nmcheck.moments.propagation.propagate import propagate
from nmcheck.moments.propagation.quadrature import REACH
from nmcheck.steps import Network, SmoothStep

Scalar = Callable[[Tensor], Tensor]
SELU = 1.0507009873554805
CURVES: dict[str, tuple[Scalar, tuple[float, ...]]] = {
    "tanh": (torch.tanh, ()),
    "sigmoid": (torch.sigmoid, ()),
    "erf": (torch.erf, ()),
    "atan": (torch.atan, ()),
    "asinh": (torch.asinh, ()),
    "gelu": (lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), ()),
    "gelu-tanh": (lambda x: functional.gelu(x, approximate="tanh"), ()),
    "softplus": (functional.softplus, ()),
    "mish": (lambda x: x * torch.tanh(functional.softplus(x)), ()),
    "swish": (lambda x: x * torch.sigmoid(1.7 * x), ()),
    "softsign": (functional.softsign, (0.0,)),
    "elu": (functional.elu, (0.0,)),
    "celu": (lambda x: functional.celu(x, 2.0), (0.0,)),
    "selu": (lambda x: SELU * functional.elu(x, 1.6732632423543772), (0.0,)),
    "hard-swish": (lambda x: x * (x / 6 + 0.5).clamp(0, 1), (-3.0, 3.0)),
    "square": (torch.square, ()),
}
HARMONIC: dict[str, tuple[Scalar, float]] = {
    "exp": (torch.exp, 1.0),
    "sinh": (torch.sinh, 1.0),
    "cosh": (torch.cosh, 1.0),
    "sin": (torch.sin, -1.0),
    "cos": (torch.cos, -1.0),
}
WIDTHS = (1e-3, 1e-2, 0.1, 1.0, 2.0, 5.0, 10.0, 100.0, 1e3)


def step(function: Scalar, kinks: tuple[float, ...] = (), harmonic: float | None = None) -> SmoothStep:
    return SmoothStep("f", ("x",), ("y",), None, function, kinks, harmonic)


def means(sd: float) -> Tensor:
    """In widths and in standard deviations from the function's middle."""
    widths = [0.0, 0.3, -0.3, 1.0, -1.0, 5.0, -5.0, 30.0, -30.0]
    return torch.tensor([*widths, *(sd * z for z in (0.3, -0.4, 1, -2, 3, -5, 7, 30))], dtype=torch.float64)


def averages(function: Scalar, kinks: tuple[float, ...], mean: float, sd: float) -> tuple[float, float, float]:
    """E f - f(mean), sd E f' and the standard deviation, by Gauss-Legendre on many panels, small ones around 0."""
    away = np.concatenate([10.0 ** np.arange(-9, 1.3, 0.2), np.arange(0.5, 30, 0.5) / sd])
    centers = [(place - mean) / sd for place in (*kinks, 0.0)]
    edges = np.unique(
        np.concatenate([np.linspace(-REACH, REACH, 65), *((c, *(c + away), *(c - away)) for c in centers)])
    )
    edges = edges[np.abs(edges) <= REACH]
    places, weights = np.polynomial.legendre.leggauss(14)
    half = 0.5 * np.diff(edges)[:, None]
    z = (edges[:-1, None] + half * (places + 1)).ravel()
    w = (half * weights).ravel() * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    rise = (function(torch.from_numpy(mean + sd * z)) - function(torch.tensor(mean, dtype=torch.float64))).numpy()
    average, slope, square = (math.fsum(w * term) for term in (rise, z * rise, rise**2))
    return average, slope, max(square - average**2, 0.0) ** 0.5


def answer(name: str, mean: Tensor, sd: float, dtype: torch.dtype = torch.float64) -> Moments:
    function, kinks = CURVES[name]
    return smooth(step(function, kinks), mean.to(dtype), torch.full_like(mean, sd, dtype=dtype))


def assert_as_stated(name: str, sd: float, dtype: torch.dtype) -> None:
    """The mean within the stated error, and everything near, whatever of it float64's digits can show."""
    function, kinks = CURVES[name]
    unit = torch.finfo(dtype).eps
    sd = float(torch.tensor(sd, dtype=dtype))
    mean = means(sd).to(dtype).double()
    found = answer(name, mean, sd, dtype)
    for index, mu in enumerate(mean.tolist()):
        rise, slope, spread = averages(function, kinks, mu, sd)
        center = float(function(mean[index]))
        gate, error = float(found.gate[index]), float(found.error[index])
        # Of sums in float64, in which saturated functions have no digits left, and of the answer.
        rounding = 1e-14 * (abs(mu) + sd + abs(center)) + unit * abs(center + rise)
        assert abs(float(found.mean[index].double()) - center - rise) <= error + rounding, (sd, mu)
        if spread > 1e-9 * (abs(mu) + sd):
            assert error < 4e-5 * spread, (sd, mu)
            assert abs(gate * sd - slope) < 1e-4 * spread + unit * abs(slope), (sd, mu)
            assert abs(float(found.excess[index]) + (gate * sd) ** 2 - spread**2) < 2e-4 * spread**2, (sd, mu)


@pytest.mark.parametrize("name", CURVES)
def test_no_mean_is_further_off_than_stated_and_none_is_far_off(name: str) -> None:
    for sd in WIDTHS:
        assert_as_stated(name, sd, torch.float64)


@pytest.mark.parametrize("name", ["tanh", "gelu", "elu"])
def test_nor_in_float32(name: str) -> None:
    for sd in WIDTHS[::2]:
        assert_as_stated(name, sd, torch.float32)


@pytest.mark.parametrize(("mean", "sd"), [(0.3, 0.5), (-1.0, 10.0), (200.0, 300.0)])
@pytest.mark.parametrize("name", ["tanh", "gelu", "elu"])
def test_what_it_is_compared_with_is_right(name: str, mean: float, sd: float) -> None:
    functions = {
        "tanh": mpmath.tanh,
        "gelu": lambda x: x * mpmath.ncdf(x),
        "elu": lambda x: x if x > 0 else mpmath.expm1(x),
    }
    middle = -mean / sd
    places = sorted({-REACH, *(middle + place / sd for place in (-30, -3, 0, 3, 30)), -2, 0, 2, REACH})
    truth: Any = mpmath.quad(
        lambda z: functions[name](mean + sd * z) * mpmath.npdf(z), [z for z in places if abs(z) <= REACH]
    )
    rise, _, spread = averages(*CURVES[name], mean, sd)
    center = float(CURVES[name][0](torch.tensor(mean, dtype=torch.float64)))
    assert center + rise == pytest.approx(float(truth), abs=1e-10 * spread + 1e-14 * abs(center))


def exponentials(name: str) -> tuple[tuple[complex, complex], ...]:
    """f(x) = sum of w exp(c x), as pairs (c, w)."""
    unit = 1 if HARMONIC[name][1] > 0 else 1j
    if name == "exp":
        return ((1, 1),)
    return ((unit, 0.5), (-unit, 0.5)) if name.startswith("cos") else ((unit, 0.5 / unit), (-unit, -0.5 / unit))


@pytest.mark.parametrize(
    ("name", "sd"),
    # The means of those that grow are beyond float64 where these are wider.
    [(name, sd) for name in HARMONIC for sd in (1e-3, 0.1, 1.0, 5.0, 1e3) if sd <= 5 or HARMONIC[name][1] < 0],
)
def test_harmonic_functions_are_exact(name: str, sd: float) -> None:
    """As sums of exponentials, of which E exp(c x) = exp(c mu + c^2 sd^2 / 2), in many digits."""
    function, sign = HARMONIC[name]
    parts = exponentials(name)
    mean = torch.tensor([0.0, 0.3, 1.0, -5.0, math.pi / 2, 3.0 * sd], dtype=torch.float64)
    found = smooth(step(function, harmonic=sign), mean, torch.full_like(mean, sd))
    assert not found.error.any()
    with mpmath.workdps(60):

        def expected(c: complex, mu: float) -> Any:
            return mpmath.exp(c * mpmath.mpf(mu) + mpmath.mpc(c) ** 2 * mpmath.mpf(sd) ** 2 / 2)

        for index, mu in enumerate(mean.tolist()):
            average, slope = (mpmath.re(sum(w * c**k * expected(c, mu) for c, w in parts)) for k in (0, 1))
            square = mpmath.re(sum(v * w * expected(b + c, mu) for b, v in parts for c, w in parts))
            variance = square - average**2
            assert float(found.mean[index]) == pytest.approx(float(average), rel=1e-13, abs=1e-15)
            assert float(found.gate[index]) == pytest.approx(float(slope), rel=1e-13, abs=1e-15)
            excess = float(variance - (mpmath.mpf(sd) * slope) ** 2)
            assert float(found.excess[index]) == pytest.approx(excess, rel=1e-12, abs=1e-14 * float(variance))


@pytest.mark.parametrize("name", HARMONIC)
def test_hermite_coefficients_of_harmonic_functions(name: str) -> None:
    function, sign = HARMONIC[name]
    mean = torch.tensor([0.0, 0.7, -2.0], dtype=torch.float64)
    sd = torch.tensor([0.5, 0.3, 0.1], dtype=torch.float64)
    exact = smooth_hermite(step(function, harmonic=sign), mean, sd, 8)
    # What lies beyond the points' reach is largest in the last row, which weighs as 1 / sqrt(8!).
    torch.testing.assert_close(smooth_hermite(step(function), mean, sd, 8), exact, rtol=1e-6, atol=1e-6)


def counted(function: Scalar) -> tuple[Scalar, list[int]]:
    """The function, and how many numbers it was given each time."""
    counts: list[int] = []

    def count(x: Tensor) -> Tensor:
        counts.append(x.numel())
        return function(x)

    return count, counts


def test_ordinary_noise_takes_no_more_points_than_before() -> None:
    """65, and a few beside them at the mean itself; the widest noise about ten times that."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(1000, generator=generator, dtype=torch.float64)
    for sd, points in ((0.1, 70), (1.0, 70), (1.5, 100), (1e3, 800)):
        function, counts = counted(torch.tanh)
        smooth(step(function), mean, torch.full_like(mean, sd))
        assert sum(counts) <= points * len(mean)


def test_memory_does_not_grow_with_the_layer() -> None:
    function, counts = counted(torch.tanh)
    mean = torch.zeros(40_000, dtype=torch.float64)
    smooth(step(function), mean, torch.full_like(mean, 0.5))
    assert max(counts) <= 2**19


@pytest.mark.parametrize(
    ("function", "kind"),
    [(lambda x: torch.tanh(1e7 * (x - 1)), "a jump away from 0"), (torch.sin, "waves")],
    ids=["jump", "waves"],
)
def test_what_points_do_not_resolve_is_said(function: Scalar, kind: str) -> None:
    """Of steps that no operator makes: the first is 1 - 2 Phi((1 - mean) / sd), the other 0 under noise so wide."""
    sd = {"a jump away from 0": 1.0, "waves": 300.0}[kind]
    mean = torch.linspace(-2, 2, 41, dtype=torch.float64) * sd
    found = smooth(step(function), mean, torch.full_like(mean, sd))
    truth = 1 - 2 * normal_cdf(1 - mean) if sd == 1.0 else torch.zeros_like(mean)
    errors = (found.mean - truth).abs()
    assert errors.max() > 1e-3
    assert (errors <= found.error).all()


@pytest.mark.parametrize("name", ["tanh", "gelu", "elu", "hard-swish"])
@pytest.mark.parametrize("sd", [0.01, 1.0, 10.0, 300.0])
def test_gradients_are_those_of_the_integrals(name: str, sd: float) -> None:
    """d E f / d mean = E f' and d E f / d sd = E z f', whichever rule an element was settled by."""
    mean = torch.tensor([0.2, -0.9, 3.0 * sd, -9.0 * sd], dtype=torch.float64, requires_grad=True)
    deviation = torch.full_like(mean, sd).requires_grad_()
    found = smooth(step(*CURVES[name]), mean, deviation)
    by_mean, by_sd = torch.autograd.grad(found.mean.sum(), (mean, deviation))
    h = 1e-4 * sd
    with torch.no_grad():
        up, down = (smooth(step(*CURVES[name]), mean, deviation + side).mean for side in (h, -h))
    scale = found.excess.detach().sqrt() / sd + found.gate.detach().abs()
    assert ((by_mean - found.gate.detach()).abs() <= 1e-5 * scale + 1e-12).all()
    assert ((by_sd - (up - down) / (2 * h)).abs() <= 1e-5 * scale + 1e-10).all()


def wide_tanh(folder: Path) -> tuple[Network, Program]:
    """Tanh units with inputs 100 times as steep as noise of 0.1 is small: 10 of their widths."""
    rng = np.random.default_rng(5)
    w = rng.normal(size=(8, 64))
    w = (100 * w / np.linalg.norm(w, axis=1, keepdims=True)).astype(np.float32)
    b = (-w.sum(axis=1) / 2 + 3 * rng.normal(size=8)).astype(np.float32)
    v, c = rng.normal(size=(3, 8)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    nodes = [node("Gemm", ["x", "w", "b"], ["z"], transB=1), node("Tanh", ["z"], ["a"])]
    nodes += [node("Gemm", ["a", "v", "c"], ["y"], transB=1)]
    return network_from(nodes, (1, 64), {"w": w, "b": b, "v": v, "c": c}, folder)


def test_a_network_of_wide_tanhs_has_the_mean_that_sampling_has(tmp_path: Path) -> None:
    network, program = wide_tanh(tmp_path)
    x = GaussianInput(torch.full((64,), 0.5, dtype=torch.float64), 0.1)
    found = propagate(network, x)
    noise = torch.randn(50_000, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sampled = program((x.mean + 0.1 * torch.cat([noise, -noise]))[:, None]).unflatten(0, (2, -1)).mean(dim=0)
    z = (found.mean - sampled.mean(dim=0)) / (sampled.std(dim=0) / len(noise) ** 0.5)
    assert z.abs().max() < 4
    w, b, v, c = (torch.tensor(program.graph.constants[name].tolist()).double() for name in "wbvc")
    inner = w @ x.mean + b
    units = torch.tanh(inner) + torch.tensor([averages(torch.tanh, (), mu, 10.0)[0] for mu in inner.tolist()])
    error = (found.mean - v @ units - c).abs() / found.covariance.diagonal().sqrt()
    assert error.max() < 1e-6
    assert found.quadrature_error is not None
    assert error.max() < found.quadrature_error < 3e-5


@pytest.mark.parametrize(("op", "stated"), [("Tanh", True), ("Elu", True), ("Relu", False), ("Sin", False)])
def test_only_what_is_integrated_has_an_error(op: str, stated: bool, tmp_path: Path) -> None:
    network, _ = network_from([node(op, ["x"], ["y"])], (1, 5), {}, tmp_path)
    for budget in (2**30, 1):
        found = propagate(network, GaussianInput(point(network), 0.3), budget=budget)
        assert (found.quadrature_error is not None) == stated
        assert not stated or 0 < (found.quadrature_error or 0) < 1e-4
