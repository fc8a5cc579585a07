"""The samples' correction of a mean that the Gaussian closure biases."""

from pathlib import Path

import pytest
import torch
from models import model, node, weights, write
from torch import Tensor

from nmcheck.execute.program import Program
from nmcheck.graph.load import load_graph
from nmcheck.linearize.steps import network_of
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.closure import mean_correction, mean_is_exact, slope_correction
from nmcheck.moments.propagation.propagate import propagate
from nmcheck.moments.reference import plain

N = 6


def deep(layers: int, folder: Path) -> Program:
    """Dense layers of 6 ReLUs, whose outputs are far from Gaussian."""
    nodes, arrays, last = [], {}, "x"
    for k in range(layers):
        nodes += [node("Gemm", [last, f"W{k}", f"b{k}"], [f"z{k}"]), node("Relu", [f"z{k}"], [f"h{k}"])]
        arrays |= {f"W{k}": weights(N, N, seed=k), f"b{k}": weights(N, seed=50 + k)}
        last = f"h{k}"
    nodes.append(node("Gemm", [last, "W", "b"], ["y"]))
    arrays |= {"W": weights(N, 3, seed=99), "b": weights(3)}
    return Program(load_graph(write(model(nodes, (1, N), arrays), folder)), torch.float64)


X = GaussianInput(torch.linspace(-0.5, 0.5, N, dtype=torch.float64), 1.0)


def test_a_mean_is_exact_up_to_the_first_nonlinear_layer_behind_another(tmp_path: Path) -> None:
    assert [mean_is_exact(network_of(deep(layers, tmp_path))) for layers in (0, 1, 2)] == [True, True, False]


def test_an_exact_mean_is_left_alone(tmp_path: Path) -> None:
    found = propagate(network_of(deep(1, tmp_path)), X, samples=16)
    assert (found.correction == 0).all()


def test_more_samples_take_a_deep_network_s_mean_to_the_truth(tmp_path: Path) -> None:
    made = deep(4, tmp_path)
    network = network_of(made)
    truth = plain(lambda x: made(x.reshape(-1, 1, N)).flatten(1), X, samples=100_000, label=0, seed=1, batch_size=4000)
    found = propagate(network, X, samples=20_000)
    corrected, uncorrected = (
        float(((mean - truth.mean) / truth.variance.sqrt()).abs().max())
        for mean in (found.mean, found.mean - found.correction)
    )
    assert uncorrected > 0.05
    # Three standard errors of 20,000 samples and of the truth.
    assert corrected < 0.025


def test_the_stated_error_of_the_samples_mean_is_that_of_repetitions(tmp_path: Path) -> None:
    """Where the bias is large, the correction is all but the samples' own mean."""
    network = network_of(deep(4, tmp_path))
    runs = [propagate(network, X, samples=2000, seed=seed) for seed in range(60)]
    spread = torch.stack([run.mean for run in runs]).std(0)
    stated = torch.stack([run.correction_error for run in runs]).square().mean(0).sqrt()
    # 60 repetitions know a standard deviation to 9 %; three of these.
    assert ((stated / spread - 1).abs() < 0.28).all()


def shrunk(bias: float, samples: int) -> Tensor:
    """Mean square error of the correction over that of the shift as it is, over 4,000 repetitions."""
    generator = torch.Generator().manual_seed(0)
    covariance = torch.diag(torch.linspace(0.5, 2.0, 10, dtype=torch.float64))
    true = torch.full((10,), bias, dtype=torch.float64)
    drawn = torch.randn(4000, 10, generator=generator, dtype=torch.float64) * (covariance.diagonal() / samples).sqrt()
    corrected = torch.stack([mean_correction(true + noise, covariance, samples) for noise in drawn])
    chance = covariance.diagonal().sum() / samples
    return ((corrected - true) ** 2).sum(1).mean() / chance


def test_chance_is_not_believed() -> None:
    """Without a bias the correction does next to nothing, with a large one it leaves the samples' own error."""
    assert shrunk(0.0, 128) < 0.02
    assert shrunk(5.0, 128) == pytest.approx(1.0, abs=0.05)


def test_no_shift_needs_no_division() -> None:
    nothing = torch.zeros(3, dtype=torch.float64)
    assert torch.equal(mean_correction(nothing, torch.zeros(3, 3, dtype=torch.float64), 8), nothing)


def slopes(bias: float, samples: int, curvature: float) -> Tensor:
    """Corrections over 500 repetitions for 4 correlated outputs g + r, r = bias g + curvature (g^2 - Var g) + noise."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    covariance = mixing @ mixing.mT
    found = []
    for _ in range(500):
        g = torch.randn(samples, 4, generator=generator, dtype=torch.float64) @ mixing.mT
        noise = 0.1 * torch.randn(samples, 4, generator=generator, dtype=torch.float64)
        rest = bias * g + curvature * (g**2 - covariance.diagonal()) + noise
        found.append(slope_correction(g, rest - rest.mean(0), covariance)[0])
    return torch.stack(found)


def test_curvature_is_not_taken_for_a_slope() -> None:
    """Products of g and g^2 have heavy tails, whose spread is measured and not assumed."""
    assert float((slopes(0.0, 128, 0.3).abs().amax(1) > 0.02).double().mean()) < 0.06


def test_a_slope_that_is_too_small_is_found() -> None:
    found = slopes(0.2, 512, 0.0)
    assert float((found - 0.2).abs().mean()) < 0.02
    assert float((slopes(-0.3, 512, 0.1) + 0.3).abs().mean()) < 0.06


def test_a_slope_s_standard_error_is_that_of_repetitions() -> None:
    generator = torch.Generator().manual_seed(0)
    found, errors = [], []
    for _ in range(500):
        g = torch.randn(256, 1, generator=generator, dtype=torch.float64)
        rest = 0.4 * g + 0.3 * (g**2 - 1.0)
        slope, error = slope_correction(g, rest - rest.mean(0), torch.eye(1, dtype=torch.float64))
        found.append(slope)
        errors.append(error)
    spread = float(torch.stack(found).std())
    assert float(torch.stack(errors).square().mean().sqrt()) == pytest.approx(spread, rel=0.15)


def test_an_output_that_does_not_move_has_no_slope() -> None:
    g = torch.zeros(16, 2, dtype=torch.float64)
    g[:, 0] = torch.linspace(-1, 1, 16)
    covariance = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))
    found, error = slope_correction(g, 0.5 * g, covariance)
    assert found[1] == error[1] == 0
    assert found.isfinite().all()
    assert error.isfinite().all()


def test_samples_mend_the_slopes_of_a_layer_without_a_rule(tmp_path: Path) -> None:
    """A softmax whose tangent at the mean is three times as steep as its average under the noise."""
    nodes = [
        node("Gemm", ["x", "W"], ["z"]),
        node("Softmax", ["z"], ["s"]),
        node("Gemm", ["s", "V"], ["y"]),
    ]
    arrays = {"W": 3 * weights(N, 4, seed=1), "V": weights(4, 3, seed=2)}
    made = Program(load_graph(write(model(nodes, (1, N), arrays), tmp_path)), torch.float64)
    truth = plain(lambda x: made(x.reshape(-1, 1, N)).flatten(1), X, samples=100_000, label=0, seed=1, batch_size=4000)
    found = propagate(network_of(made), X, samples=4000)
    torch.testing.assert_close(found.covariance.diagonal(), truth.variance, rtol=0.1, atol=0)
