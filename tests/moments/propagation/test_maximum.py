"""Maxima: Clark's formulas for two, sampling for four, and windows as the pooling reads them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import model, node, weights
from moments.propagation.networks import network_from, point, program_of, recorded
from operator_cases import CASES, OperatorCase
from scipy.stats import norm

from nmcheck.execute.operands import Operands
from nmcheck.execute.program import Program
from nmcheck.linearize.steps import network_of
from nmcheck.linearize.windows import FAR_BELOW, pooling_taps
from nmcheck.moments.diagonal import propagate_diagonal
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


PADDED: tuple[tuple[int, int, dict[str, Any]], ...] = (
    (5, 16, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    (6, 41, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    (12, 128, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    (13, 41, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [2, 2, 2, 2]}),
    (9, 128, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    (8, 41, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    (5, 41, {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    (7, 16, {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    (10, 41, {"kernel_shape": [3, 3], "strides": [1, 1], "auto_pad": "SAME_LOWER"}),
    (14, 128, {"kernel_shape": [3, 3], "strides": [3, 3], "auto_pad": "SAME_UPPER"}),
    (9, 41, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [2, 2, 2, 2], "dilations": [2, 2]}),
    (6, 128, {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [3, 3]}),
)
"""Size of the image, samples, and attributes of the pool."""


def stem(size: int, attributes: Mapping[str, Any], folder: Path) -> tuple[Program, Program]:
    """Convolution, ReLU, pool, Gemm in float32 and float64."""
    nodes = [
        node("Conv", ["x", "K", "k"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("MaxPool", ["r"], ["p"], **attributes),
    ]
    arrays = {"K": weights(2, 1, 3, 3) / 2, "k": np.array([0.5, 1.5], np.float32)}
    pooled = program_of(model([*nodes, node("Flatten", ["p"], ["y"])], (1, 1, size, size), arrays), folder)
    count = pooled.graph.shapes["y"][1]
    nodes += [node("Flatten", ["p"], ["f"]), node("Gemm", ["f", "W"], ["y"])]
    made = model(nodes, (1, 1, size, size), arrays | {"W": weights(count, 3) / np.float32(count**0.5)})
    return program_of(made, folder, torch.float32), program_of(made, folder)


@pytest.mark.parametrize(("size", "samples", "attributes"), PADDED)
def test_padded_pools_in_both_precisions(size: int, samples: int, attributes: dict[str, Any], tmp_path: Path) -> None:
    """The mean of copies of -1e30 is not -1e30 in float32, and the square of what it is off by is infinite."""
    programs = stem(size, attributes, tmp_path)
    image = torch.rand(size * size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    single, double = (
        propagate(network_of(program), GaussianInput(image.to(program.dtype), 0.1), samples=samples)
        for program in programs
    )
    spread = double.covariance.diagonal().sqrt()
    assert ((single.mean - double.mean).abs() / spread).max() < 1e-4
    assert ((single.covariance - double.covariance).abs() / spread.outer(spread)).max() < 1e-4
    noise = 0.1 * torch.randn(8000, size * size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sampled = programs[1]((image + noise).reshape(-1, 1, 1, size, size))
    assert ((double.mean - sampled.mean(dim=0)).abs() / spread).max() < 0.15
    assert (spread / sampled.std(dim=0) - 1).abs().max() < 0.2
    one, two = (
        propagate_diagonal(network_of(program), GaussianInput(image.to(program.dtype), 0.1)) for program in programs
    )
    torch.testing.assert_close(one.mean.double(), two.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one.variance.double(), two.variance, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [-math.inf, float(np.finfo(np.float32).min), -1e35], ids=["inf", "least", "far"])
def test_a_pad_in_front_of_a_pool_is_the_pools_own_padding(far: float, dtype: torch.dtype, tmp_path: Path) -> None:
    """As exporters write SAME padding of frameworks that have none in their pools."""
    arrays = {"K": weights(2, 1, 3, 3), "W": weights(50, 3)}
    behind = [node("Flatten", ["p"], ["f"]), node("Gemm", ["f", "W"], ["y"])]
    pool = {"kernel_shape": [3, 3], "strides": [2, 2]}
    own = [node("Conv", ["x", "K"], ["c"]), node("MaxPool", ["c"], ["p"], pads=[1, 1, 1, 1], **pool), *behind]
    front = [node("Conv", ["x", "K"], ["c"]), node("Pad", ["c", "pads", "far"], ["q"])]
    front += [node("MaxPool", ["q"], ["p"], **pool), *behind]
    pads = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "far": np.array(far, np.float32)}
    networks = [
        network_of(program_of(made, tmp_path, dtype))
        for made in (model(own, (1, 1, 11, 11), arrays), model(front, (1, 1, 11, 11), arrays | pads))
    ]
    x = GaussianInput(point(networks[0]).to(dtype), 0.3)
    one, two = (propagate(network, x, samples=41) for network in networks)
    torch.testing.assert_close(two.mean, one.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(two.covariance, one.covariance, rtol=1e-4, atol=1e-4)
    one, two = (propagate_diagonal(network, x) for network in networks)
    torch.testing.assert_close(two.mean, one.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(two.variance, one.variance, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [math.inf, float(np.finfo(np.float32).max), 1e30, 1e12])
@pytest.mark.parametrize("op", ["Max", "Min"])
def test_constants_that_never_count_change_nothing(op: str, far: float, dtype: torch.dtype, tmp_path: Path) -> None:
    arrays = {"A": weights(6, 5), "c": np.array(-far if op == "Max" else far, np.float32)}
    nodes = [node("Gemm", ["x", "A"], ["h"]), node("Relu", ["h"], ["r"])]
    bounded = model([*nodes, node(op, ["r", "c"], ["y"])], (1, 6), arrays)
    plain = model([*nodes, node("Identity", ["r"], ["y"])], (1, 6), {"A": arrays["A"]})
    networks = [network_of(program_of(made, tmp_path, dtype)) for made in (plain, bounded)]
    x = GaussianInput(point(networks[0]).to(dtype), 0.3)
    for samples in (16, 41):
        one, two = (propagate(network, x, samples=samples) for network in networks)
        torch.testing.assert_close(two.mean, one.mean, rtol=1e-5, atol=1e-3 if far == 1e12 else 1e-6)
        torch.testing.assert_close(two.covariance, one.covariance, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_masked_logit_counts_as_one_that_never_moves(dtype: torch.dtype, tmp_path: Path) -> None:
    """Copies of the mask have a mean that is not the mask."""
    arrays = {"A": weights(6, 5), "B": weights(5, 3)}
    nodes = [node("Gemm", ["x", "A"], ["h"]), node("Relu", ["h"], ["r"]), node("Gemm", ["r", "B"], ["z"])]
    nodes += [node("Sigmoid", ["z"], ["s"])]
    never, masked = (
        network_of(
            program_of(model([*nodes, last], (1, 6), arrays | {"m": np.array(row, np.float32)}), tmp_path, dtype)
        )
        for last, row in ((node("Mul", ["s", "m"], ["y"]), [1, 0, 1]), (node("Add", ["s", "m"], ["y"]), [0, -1e30, 0]))
    )
    x, kept = GaussianInput(point(never).to(dtype), 0.3), torch.tensor([0, 2])
    for samples in (16, 41, 128):
        one, two = (propagate(network, x, samples=samples) for network in (never, masked))
        torch.testing.assert_close(two.mean[kept], one.mean[kept], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(two.covariance[kept][:, kept], one.covariance[kept][:, kept], rtol=1e-4, atol=1e-5)
        assert float(two.mean[1]) == pytest.approx(-1e30, rel=1e-7)
        assert two.covariance.diagonal()[1] < 1
