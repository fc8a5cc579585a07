"""Diagonal propagation: exact where units are independent, a baseline elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from models import model, node, weights, write
from onnx import NodeProto
from torch import Tensor

from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.steps import network_of
from nmcheck.moments.diagonal import PROBES, DiagonalMoments, propagate_diagonal
from nmcheck.moments.gaussian import Diagonal, Factored, GaussianInput, Isotropic, NoiseStructure
from nmcheck.moments.propagation.propagate import propagate


def program(nodes: Sequence[NodeProto], shape: Sequence[int], folder: Path, **arrays: np.ndarray) -> Program:
    return Program(load_graph(write(model(nodes, shape, arrays), folder)), torch.float64)


def moments(made: Program, x: GaussianInput, seed: int = 0) -> DiagonalMoments:
    return propagate_diagonal(network_of(made), x, seed=seed)


def sampled(made: Program, x: GaussianInput, count: int = 150_000) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, variance and their standard errors by plain Monte Carlo."""
    n = x.mean.numel()
    normals = torch.randn(
        count, x.structure.directions(n), generator=torch.Generator().manual_seed(5), dtype=torch.float64
    )
    shape = made.graph.shapes[made.graph.input]
    y = made((x.mean + x.sigma * x.structure.noise(normals)).reshape(-1, *shape)).flatten(1)
    squares = (y - y.mean(dim=0)) ** 2
    return y.mean(dim=0), y.var(dim=0), y.std(dim=0) / count**0.5, squares.std(dim=0) / count**0.5


MEAN = torch.tensor([0.3, -0.2, 0.05, 1.1, -0.7, 0.0], dtype=torch.float64)
ONE_OF_EACH = {
    "relu": [node("Relu", ["x"], ["h"])],
    "leaky": [node("LeakyRelu", ["x"], ["h"], alpha=0.3)],
    "tanh": [node("Tanh", ["x"], ["h"])],
    "pair": [node("Reshape", ["x", "two"], ["u"]), node("ReduceMax", ["u"], ["h"], axes=[2], keepdims=0)],
    "least": [node("Reshape", ["x", "two"], ["u"]), node("ReduceMin", ["u"], ["h"], axes=[2], keepdims=0)],
    "halves": [node("Split", ["x"], ["a", "b"], axis=1), node("Mul", ["a", "b"], ["h"])],
    "square": [node("Mul", ["x", "x"], ["h"])],
    "halves added": [node("Split", ["x"], ["a", "b"], axis=1), node("Add", ["a", "b"], ["h"])],
    "softmax": [node("Softmax", ["x"], ["s"]), node("Mul", ["s", "tiny"], ["t"]), node("Add", ["t", "x"], ["h"])],
}


@pytest.mark.parametrize(
    "structure",
    [Isotropic(), Diagonal(torch.tensor([0.9, 0.0, 1.2, 0.6, 1.5, 0.8], dtype=torch.float64))],
    ids=["isotropic", "diagonal"],
)
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_is_exact_while_units_are_independent(name: str, structure: NoiseStructure, tmp_path: Path) -> None:
    """One layer in front of which, and between whose outputs, nothing is correlated."""
    arrays = {"two": np.array([1, 3, 2]), "tiny": np.array(0.0, dtype=np.float32)}
    nodes = [*ONE_OF_EACH[name], node("Identity", ["h"], ["y"])]
    used = {key: array for key, array in arrays.items() if any(key in one.input for one in nodes)}
    made = program(nodes, (1, 6), tmp_path, **used)
    x = GaussianInput(MEAN, 0.4, structure)
    found = moments(made, x)
    mean, variance, mean_se, variance_se = sampled(made, x)
    assert ((found.mean - mean).abs() <= 4.5 * mean_se + 1e-12).all()
    assert ((found.variance - variance).abs() <= 4.5 * variance_se + 1e-12).all()
    assert not found.probed


def test_a_dense_layer_over_independent_relus_is_exact(tmp_path: Path) -> None:
    nodes = [
        node("Mul", ["x", "scale"], ["u"]),
        node("Relu", ["u"], ["h"]),
        node("Gemm", ["h", "W", "b"], ["y"], alpha=0.5),
    ]
    arrays = {"scale": weights(6), "W": weights(6, 4), "b": weights(4)}
    made = program(nodes, (1, 6), tmp_path, **arrays)
    x = GaussianInput(MEAN, 0.6)
    found, exact = moments(made, x), propagate(network_of(made), x, second_order=True)
    torch.testing.assert_close(found.mean, exact.mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.variance, exact.covariance.diagonal(), rtol=1e-6, atol=1e-10)


def test_three_by_three_pooling_over_padding_is_clarks_maximum(tmp_path: Path) -> None:
    """Against nested pairs computed by sampling: the largest of independent normals, padding left out."""
    nodes = [
        node("MaxPool", ["x"], ["h"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Flatten", ["h"], ["y"]),
    ]
    made = program(nodes, (1, 1, 4, 4), tmp_path)
    x = GaussianInput(torch.from_numpy(weights(16).astype(np.float64)), 0.5)
    found = moments(made, x)
    mean, variance, _, _ = sampled(made, x)
    # Clark's pairs are exact for two; of nine the error is a few hundredths of a deviation.
    assert ((found.mean - mean).abs() < 0.06 * variance.sqrt()).all()
    assert ((found.variance / variance - 1).abs() < 0.15).all()


def test_correlated_units_lose_their_variance_which_is_why_it_is_only_a_baseline(tmp_path: Path) -> None:
    """p copies of one unit add up to p^2 variances; taken as independent, to p."""
    copies = 12
    nodes = [node("Gemm", ["x", "copy"], ["h"]), node("Gemm", ["h", "sum"], ["y"])]
    arrays = {"copy": np.ones((1, copies), np.float32), "sum": np.ones((copies, 2), np.float32)}
    made = program(nodes, (1, 1), tmp_path, **arrays)
    found = moments(made, GaussianInput(torch.ones(1, dtype=torch.float64), 0.5))
    torch.testing.assert_close(found.variance, torch.full((2,), 0.25 * copies, dtype=torch.float64))
    torch.testing.assert_close(found.mean, torch.full((2,), float(copies), dtype=torch.float64))


def test_of_a_factor_the_elements_variances_are_used(tmp_path: Path) -> None:
    factor = torch.from_numpy(weights(3, 6).astype(np.float64))
    made = program([node("Relu", ["x"], ["y"])], (1, 6), tmp_path)
    one = moments(made, GaussianInput(MEAN, 0.4, Factored(factor)))
    two = moments(made, GaussianInput(MEAN, 0.4, Diagonal(factor.square().sum(dim=0).sqrt())))
    torch.testing.assert_close(one.mean, two.mean)
    torch.testing.assert_close(one.variance, two.variance)


def test_layers_without_a_rule_are_probed_and_named(tmp_path: Path) -> None:
    """Probes tell squared slopes on average, for any seed, within the error stated."""
    n = 80
    assert n > PROBES
    made = program([node("Softmax", ["x"], ["s"]), node("Gemm", ["s", "W"], ["y"])], (1, n), tmp_path, W=weights(n, 3))
    point = torch.from_numpy(weights(n).astype(np.float64))
    x = GaussianInput(point, 0.1)
    s = torch.softmax(point, 0)
    squares = (torch.diag(s) - torch.outer(s, s)).square()
    expected = 0.01 * squares.sum(dim=1) @ torch.from_numpy(weights(n, 3)).double().square()
    found = [moments(made, x, seed) for seed in range(20)]
    assert all(one.probed == ("Softmax_0",) for one in found)
    ratios = torch.stack([one.variance for one in found]) / expected
    assert (ratios.mean(dim=0) - 1).abs().max() < 4 * (2 / PROBES / 20) ** 0.5
    assert (ratios - 1).abs().max() < 4 * (2 / PROBES) ** 0.5
    assert ratios.std() > 0


def test_few_elements_without_a_rule_have_a_probe_each(tmp_path: Path) -> None:
    n = 7
    made = program([node("Softmax", ["x"], ["s"]), node("Gemm", ["s", "W"], ["y"])], (1, n), tmp_path, W=weights(n, 3))
    point = torch.from_numpy(weights(n).astype(np.float64))
    s = torch.softmax(point, 0)
    squares = (torch.diag(s) - torch.outer(s, s)).square()
    expected = 0.01 * squares.sum(dim=1) @ torch.from_numpy(weights(n, 3)).double().square()
    found = moments(made, GaussianInput(point, 0.1))
    torch.testing.assert_close(found.variance, expected, rtol=1e-6, atol=0)
    assert not found.probed


def test_no_noise_leaves_the_network_itself(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "K"], ["c"], pads=[1, 1, 1, 1]),
        node("MaxPool", ["c"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Sigmoid", ["m"], ["h"]),
        node("Flatten", ["h"], ["f"]),
        node("Gemm", ["f", "W"], ["y"]),
    ]
    made = program(nodes, (1, 1, 6, 6), tmp_path, K=weights(2, 1, 3, 3), W=weights(18, 3))
    point = torch.from_numpy(weights(36).astype(np.float64))
    found = moments(made, GaussianInput(point, 0.5, Diagonal(torch.zeros(36, dtype=torch.float64))))
    torch.testing.assert_close(found.mean, made(point.reshape(1, 1, 1, 6, 6)).flatten(), rtol=1e-9, atol=1e-9)
    assert not found.variance.any()
