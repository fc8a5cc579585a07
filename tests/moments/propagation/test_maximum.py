"""Maxima: Clark's formulas for two, sampling for four, and windows as the pooling reads them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from models import node, weights
from moments.propagation.networks import network_from, point, program_of, recorded
from operator_cases import CASES, OperatorCase
from scipy.stats import norm

from nmcheck.execute.operands import Operands
from nmcheck.linearize.windows import FAR_BELOW, pooling_taps
from nmcheck.moments.gaussian import Factored, GaussianInput
from nmcheck.moments.propagation.propagate import propagate

PAIRS = {
    "plain": (0.3, -0.2, 1.0, 0.7, 0.4),
    "tie": (0.5, 0.5, 0.8, 0.3, -0.6),
    "decided": (40.0, -1.0, 0.5, 2.0, 0.1),
    "opposite": (0.1, 0.0, 1.0, 1.0, -1.0),
    "equal": (0.2, 0.2, 0.6, 0.6, 1.0),
    "one-is-fixed": (0.1, 0.3, 0.9, 0.0, 0.0),
    "both-are-fixed": (0.1, 0.3, 0.0, 0.0, 0.0),
}


def clark(a: float, b: float, s: float, t: float, rho: float) -> tuple[float, float]:
    """Mean and variance of the larger of two Gaussians (Clark 1961)."""
    theta = math.sqrt(max(s * s + t * t - 2 * rho * s * t, 0.0))
    if theta == 0:
        return max(a, b), (s if a >= b else t) ** 2
    alpha = (a - b) / theta
    first = a * norm.cdf(alpha) + b * norm.cdf(-alpha) + theta * norm.pdf(alpha)
    second = (a * a + s * s) * norm.cdf(alpha) + (b * b + t * t) * norm.cdf(-alpha) + (a + b) * theta * norm.pdf(alpha)
    return float(first), float(second - first**2)


def correlated(a: float, b: float, s: float, t: float, rho: float) -> GaussianInput:
    factor = torch.tensor([[s, rho * t], [0.0, math.sqrt(1 - rho * rho) * t]], dtype=torch.float64)
    return GaussianInput(torch.tensor([a, b], dtype=torch.float64), 1.0, Factored(factor))


@pytest.mark.parametrize("case", PAIRS)
@pytest.mark.parametrize("op", ["Max", "Min"])
def test_two_gaussians_as_clark_has_them(case: str, op: str, tmp_path: Path) -> None:
    nodes = [node("Split", ["x", "s"], ["a", "b"], axis=1), node(op, ["a", "b"], ["y"])]
    network, _ = network_from(nodes, (1, 2), {"s": np.array([1, 1])}, tmp_path)
    a, b, s, t, rho = PAIRS[case]
    if op == "Max":
        mean, variance = clark(a, b, s, t, rho)
    else:
        mean, variance = clark(-a, -b, s, t, rho)
        mean = -mean
    for x in (correlated(a, b, s, t, rho), correlated(b, a, t, s, rho)):
        found = propagate(network, x, second_order=True)
        assert float(found.mean[0]) == pytest.approx(mean, rel=1e-12, abs=1e-12)
        assert float(found.covariance[0, 0]) == pytest.approx(variance, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize(("op", "sign"), [("Max", 1.0), ("Min", -1.0)])
def test_a_constant_bound_is_a_shifted_relu(op: str, sign: float, tmp_path: Path) -> None:
    """max(x, c) = c + relu(x - c), min(x, c) = c - relu(c - x)."""
    shift = weights(5)
    bound, _ = network_from([node(op, ["x", "c"], ["y"])], (1, 5), {"c": shift}, tmp_path)
    relu = [node("Sub", ["x", "c"], ["d"]), node("Mul", ["d", "k"], ["e"]), node("Relu", ["e"], ["f"])]
    relu += [node("Mul", ["f", "k"], ["g"]), node("Add", ["g", "c"], ["y"])]
    shifted, _ = network_from(relu, (1, 5), {"c": shift, "k": np.array([sign], np.float32)}, tmp_path)
    x = GaussianInput(point(bound), 0.7)
    one, two = (propagate(network, x, second_order=True) for network in (bound, shifted))
    torch.testing.assert_close(one.mean, two.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.covariance, two.covariance, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.jacobian, two.jacobian, rtol=1e-12, atol=1e-12)


def test_a_window_of_four_against_sampling(tmp_path: Path) -> None:
    """Winners are not Gaussian, so four are not exact: close to the standard deviation, no more."""
    nodes = [node("Conv", ["x", "K"], ["c"]), node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2], strides=[2, 2])]
    network, program = network_from(nodes, (1, 1, 5, 7), {"K": weights(2, 1, 2, 2)}, tmp_path)
    x = GaussianInput(point(network), 0.4)
    found = propagate(network, x, second_order=True)
    samples = x.mean + 0.4 * torch.randn(200_000, 35, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = program(samples.reshape(-1, 1, 5, 7))
    deviation = y.std(dim=0)
    assert ((found.mean - y.mean(dim=0)).abs() / deviation).max() < 0.02
    assert (found.covariance.diagonal() / y.var(dim=0) - 1).abs().max() < 0.04


POOLS = [case for case in CASES if case.op == "MaxPool"]


@pytest.mark.parametrize("case", POOLS, ids=str)
def test_the_largest_tap_is_what_the_pool_makes(case: OperatorCase, tmp_path: Path) -> None:
    program = program_of(case.onnx_model(), tmp_path)
    graph = program.graph
    pool = next(one for one in graph.nodes if one.op == "MaxPool")
    taps = pooling_taps(Operands(graph, pool, torch.float64, "cpu"))
    for seed in range(3):
        x = torch.from_numpy(weights(*case.shape, seed=seed)).double()
        found = torch.stack(taps(x))
        torch.testing.assert_close(found.amax(dim=0), program.node_function(pool)(x), rtol=0, atol=0)
        # Where a window reaches beyond the input there are taps without an element, and no others lie far below.
        assert ((found == FAR_BELOW) | (found.abs() < 10)).all()


def test_taps_in_the_padding_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool with padding is the pool without, at the windows that lie inside, in both precisions."""
    arrays = {"K": weights(2, 1, 3, 3)}
    convolution = node("Conv", ["x", "K"], ["c"], pads=[1, 1, 1, 1])
    pooled = {"kernel_shape": [3, 3], "strides": [2, 2]}
    inner, _ = network_from([convolution, node("MaxPool", ["c"], ["y"], **pooled)], (1, 1, 9, 9), arrays, tmp_path)
    outer, _ = network_from(
        [convolution, node("MaxPool", ["c"], ["y"], pads=[2, 2, 2, 2], **pooled)], (1, 1, 9, 9), arrays, tmp_path
    )
    x = GaussianInput(point(inner), 0.3)
    _, plain = recorded(inner, x, monkeypatch)
    _, padded = recorded(outer, x, monkeypatch)
    torch.testing.assert_close(padded["y"].mean[..., 1:-1, 1:-1], plain["y"].mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(padded["y"].variance()[..., 1:-1, 1:-1], plain["y"].variance(), rtol=1e-12, atol=0)
    # The corner's window holds one element.
    corner = plain["c"].mean[..., 0, 0]
    torch.testing.assert_close(padded["y"].mean[..., 0, 0], corner, rtol=1e-15, atol=0)
    torch.testing.assert_close(padded["y"].variance()[..., 0, 0], plain["c"].variance()[..., 0, 0], rtol=1e-12, atol=0)
    assert padded["y"].mean.abs().max() < 100
