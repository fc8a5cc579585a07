"""Hermite coefficients against sums over many points, and what they add up to."""

import math

import numpy as np
import pytest
import torch

from nmcheck.moments.propagation.hermite import relu_hermite, relu_residual, smooth_hermite
from nmcheck.steps import SmoothStep

ORDER = 8
M = torch.tensor([-1.7, -0.2, 0.0, 0.9, 3.0], dtype=torch.float64)
SD = torch.tensor([0.5, 1.0, 2.0, 0.1, 0.7], dtype=torch.float64)


def coefficient(f: np.ndarray, z: np.ndarray, k: int) -> float:
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    return math.fsum(weight * f * np.polynomial.hermite_e.hermeval(z, [0] * k + [1]))


@pytest.mark.parametrize("unit", range(len(M)))
def test_coefficients_of_a_relu(unit: int) -> None:
    m, sd = float(M[unit]), float(SD[unit])
    # Steps from the kink, so that it lies between none of the points.
    z = -m + np.arange(-140_000, 140_001) * 1e-4
    found = relu_hermite(M, SD, ORDER)[:, unit]
    for k in range(2, ORDER + 1):
        assert float(found[k - 2]) == pytest.approx(coefficient(sd * np.maximum(m + z, 0), z, k), rel=1e-6, abs=1e-6)


def test_coefficients_of_a_smooth_function() -> None:
    z = np.arange(-140_000, 140_001) * 1e-4
    mean = M * SD
    for function, kinks in ((torch.tanh, ()), (lambda x: torch.nn.functional.elu(x, 1.7), (0.0,))):
        found = smooth_hermite(SmoothStep("f", ("x",), ("y",), None, function, kinks), mean, SD, ORDER)
        for unit, (mu, sd) in enumerate(zip(mean.tolist(), SD.tolist(), strict=True)):
            f = function(torch.from_numpy(mu + sd * z)).numpy()
            for k in range(2, ORDER + 1):
                assert float(found[k - 2, unit]) == pytest.approx(coefficient(f, z, k), rel=1e-6, abs=1e-6)


def test_squares_add_up_to_the_residuals_variance() -> None:
    """Var r = sum of a_k^2 / k! over k >= 2; the tail of the series falls slowly, so from below."""
    order = 60
    factorials = torch.tensor([math.factorial(k) for k in range(2, order + 1)], dtype=torch.float64)
    total = (relu_hermite(M, SD, order).square() / factorials[:, None]).sum(dim=0)
    variance = relu_residual(M, SD).square()
    assert (total <= variance * (1 + 1e-12)).all()
    torch.testing.assert_close(total, variance, rtol=0.02, atol=0)
