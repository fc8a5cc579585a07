import runpy
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import torch
from scipy.integrate import dblquad
from torch import Tensor

from nmcheck.moments.kernel import relu_covariance, relu_covariance_seen_by, relu_kernel
from nmcheck.moments.normal import normal_cdf
from nmcheck.moments.relu import relu_variance

_SCRIPT = runpy.run_path(str(Path(__file__).with_name("make_kernel_truth.py")))
grid, kernel_truth = _SCRIPT["grid"], _SCRIPT["kernel_truth"]

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-7}


@pytest.fixture(scope="module")
def truth() -> tuple[np.ndarray, np.ndarray]:
    with np.load(Path(__file__).with_name("kernel_truth.npz")) as table:
        return table["triples"], table["values"]


def kernel(triples: np.ndarray, dtype: torch.dtype = torch.float64) -> np.ndarray:
    m1, m2, rho = (torch.tensor(column).to(dtype) for column in triples.T)
    return relu_kernel(m1, m2, rho).double().numpy()


def random_layer(units: int, inputs: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(units, inputs, generator=generator, dtype=torch.float64) / inputs**0.5
    return torch.randn(units, generator=generator, dtype=torch.float64).to(dtype), (weight @ weight.mT).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kernel_keeps_its_accuracy_over_the_whole_grid(
    dtype: torch.dtype, truth: tuple[np.ndarray, np.ndarray]
) -> None:
    triples, values = truth
    assert len(triples) > 7000
    assert np.abs(kernel(triples, dtype) - values).max() <= TOLERANCE[dtype]


def test_the_table_is_what_its_script_makes(truth: tuple[np.ndarray, np.ndarray]) -> None:
    triples, values = truth
    np.testing.assert_array_equal(triples, np.array(grid()))
    for i in np.random.default_rng(0).choice(len(triples), 40, replace=False):
        assert values[i] == float(kernel_truth(*triples[i].tolist()))


@pytest.mark.parametrize("triple", [(0.5, -1.0, 0.3), (2.0, 3.0, -0.95), (-0.05, 0.003, 0.7071), (6.0, -6.0, 0.9998)])
def test_the_truth_agrees_with_prices_integral(triple: tuple[float, float, float]) -> None:
    with mp.workdps(40):
        a, b, r = map(mp.mpf, triple)
        top = mp.asin(r)
        excess: Any = mp.quad(
            lambda t: (r - mp.sin(t)) * mp.exp(-(a * a + b * b - 2 * a * b * mp.sin(t)) / (2 * mp.cos(t) ** 2)),
            [0, top / 2, 0.9 * top, 0.99 * top, top],
        )
        assert abs(r * mp.ncdf(a) * mp.ncdf(b) + excess / (2 * mp.pi) - kernel_truth(*triple)) < 1e-25


def test_the_truth_agrees_with_a_double_integral() -> None:
    m1, m2, rho = 0.4, -0.3, 0.6

    def density(y: float, x: float) -> float:
        u, v = x - m1, y - m2
        quadratic = (u * u - 2 * rho * u * v + v * v) / (1 - rho * rho)
        return x * y * np.exp(-0.5 * quadratic) / (2 * np.pi * np.sqrt(1 - rho * rho))

    product = dblquad(density, 0, 10, 0, 10, epsabs=1e-12)[0]
    means = [float(m * mp.ncdf(m) + mp.npdf(m)) for m in (m1, m2)]
    assert product - means[0] * means[1] == pytest.approx(float(kernel_truth(m1, m2, rho)), abs=1e-11)


@pytest.mark.parametrize("edge", [0.72, 0.95, 0.99, 0.9998])
def test_kernel_is_continuous_where_the_quadrature_changes(edge: float) -> None:
    m = np.linspace(-4, 4, 33)
    a, b = (x.ravel() for x in np.meshgrid(m, m))
    below, above = (kernel(np.stack([a, b, np.full_like(a, r)], axis=1)) for r in (edge, np.nextafter(edge, 1)))
    assert np.abs(below - above).max() <= 1e-12


@pytest.mark.parametrize("ratio", [100.0, 1e3, 1e4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_active_units_are_linear_however_large_their_mean(ratio: float, dtype: torch.dtype) -> None:
    m = torch.tensor([ratio, ratio, -ratio], dtype=dtype)
    other = torch.tensor([ratio, -ratio, -ratio], dtype=dtype)
    rho = torch.full((3,), 0.3, dtype=dtype)
    assert relu_kernel(m, other, rho).tolist() == [float(rho[0]), 0.0, 0.0]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-7)])
def test_deciding_a_unit_early_changes_nothing(dtype: torch.dtype, tolerance: float) -> None:
    mean, covariance = random_layer(60, 40, seed=1, dtype=dtype)
    mean = mean * torch.logspace(-1, 1.5, 60, dtype=dtype)  # from undecided to far beyond either threshold
    sd = covariance.diagonal().sqrt()
    i, j = torch.triu_indices(60, 60, offset=1)
    rho = covariance[i, j] / (sd[i] * sd[j])
    expected = relu_kernel(mean[i] / sd[i], mean[j] / sd[j], rho)
    found = relu_covariance(mean, covariance)[i, j] / (sd[i] * sd[j])
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_blocks_of_a_wide_layer_give_the_same_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    mean, covariance = random_layer(50, 30, seed=2)
    whole = relu_covariance(mean, covariance)
    monkeypatch.setattr("nmcheck.moments.kernel.PAIRS_AT_ONCE", 300)
    torch.testing.assert_close(relu_covariance(mean, covariance), whole, rtol=0, atol=1e-16)


@pytest.mark.parametrize("block", [1, 300, 10**6])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 7.0])
def test_what_a_layer_behind_sees_needs_no_matrix(monkeypatch: pytest.MonkeyPatch, block: int, scale: float) -> None:
    mean, covariance = random_layer(50, 30, seed=4)
    mean[::3] *= 30.0  # decided units among the others
    covariance[7], covariance[:, 7] = 0.0, 0.0
    outer = torch.randn(4, 50, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    expected = outer @ relu_covariance(mean * scale**0.5, scale * covariance) @ outer.mT
    monkeypatch.setattr("nmcheck.moments.kernel.PAIRS_AT_ONCE", block)
    found = relu_covariance_seen_by(outer, mean * scale**0.5, covariance, scale)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13 * scale)
    with pytest.raises(ValueError, match="diagonal"):
        relu_covariance_seen_by(outer, mean, -covariance)


def test_covariance_matrix_is_symmetric_positive_and_has_the_exact_diagonal() -> None:
    mean, covariance = random_layer(80, 20, seed=3)  # rank 20: strongly correlated units
    found = relu_covariance(mean, covariance)
    torch.testing.assert_close(found, found.mT, rtol=0, atol=1e-15)
    torch.testing.assert_close(found.diagonal(), relu_variance(mean, covariance.diagonal().sqrt()))
    assert float(torch.linalg.eigvalsh(found).min()) > -1e-12 * float(found.diagonal().max())


def test_copies_and_negatives_of_a_unit() -> None:
    mean = torch.tensor([0.4, 0.4, -0.4], dtype=torch.float64)
    covariance = torch.tensor([[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]], dtype=torch.float64)
    found = relu_covariance(mean, covariance)
    variance = relu_variance(mean, torch.ones_like(mean))
    assert float(found[0, 1]) == pytest.approx(float(variance[0]), abs=1e-15)
    # relu(x) relu(-x) = 0, so the covariance is minus the product of the means.
    h = float(0.4 * normal_cdf(mean[:1]) + torch.exp(-0.5 * mean[:1] ** 2) / (2 * torch.pi) ** 0.5)
    assert float(found[0, 2]) == pytest.approx(-h * (h - 0.4), abs=1e-15)


def test_units_without_variance_or_correlation() -> None:
    covariance = torch.diag(torch.tensor([1.0, 0.0, 2.0, 0.0], dtype=torch.float64))
    mean = torch.tensor([0.1, 1.0, -0.2, 0.0], dtype=torch.float64)
    found = relu_covariance(mean, covariance)
    assert torch.equal(found, torch.diag(found.diagonal()))
    assert found.diagonal()[1] == found.diagonal()[3] == 0.0
    with pytest.raises(ValueError, match="diagonal"):
        relu_covariance(mean, -covariance)


def test_derivative_in_rho_is_the_probability_that_both_are_on() -> None:
    rho = torch.tensor([-0.8, -0.3, 0.3, 0.72, 0.9], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(5, dtype=torch.float64)
    relu_kernel(zero, zero, rho).sum().backward()
    assert rho.grad is not None
    expected = 0.25 + torch.asin(rho.detach()) / (2 * torch.pi)
    torch.testing.assert_close(rho.grad, expected, rtol=0, atol=1e-9)
