from typing import Any

import mpmath as mp
import pytest
import torch

from nmcheck.moments.normal import normal_cdf, relu_of_shifted_normal
from nmcheck.moments.relu import relu_gate, relu_mean, relu_variance, standardized

POINTS = [-37.0, -12.0, -6.0, -1.0001, -1.0, -0.9999, -0.003, 0.0, 0.003, 0.05, 2.0, 6.0, 37.0]


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("x", POINTS)
def test_cdf_and_h_keep_their_relative_accuracy_in_the_left_tail(x: float) -> None:
    with mp.workdps(40):
        cdf = mp.ncdf(x)
        h = x * cdf + mp.npdf(x)
    assert float(normal_cdf(tensor(x))[0]) == pytest.approx(float(cdf), rel=1e-12)
    assert float(relu_of_shifted_normal(tensor(x))[0]) == pytest.approx(float(h), rel=4e-13 * max(1.0, x * x))


@pytest.mark.parametrize(("mean", "sd"), [(0.3, 0.7), (-2.0, 0.5), (4.0, 0.5), (-0.01, 3.0), (1e4, 1.0)])
def test_mean_and_variance_equal_their_integrals(mean: float, sd: float) -> None:
    with mp.workdps(40):
        low = max(mp.mpf(0), mp.mpf(mean) - 14 * mp.mpf(sd))
        high = mp.mpf(mean) + 14 * mp.mpf(sd)
        cuts = [low, max(low, mp.mpf(mean)), high]

        def density(x: Any) -> Any:
            return mp.npdf(x, mean, sd)

        first: Any = mp.quad(lambda x: x * density(x), cuts)
        second: Any = mp.quad(lambda x: x * x * density(x), cuts)
    assert float(relu_mean(tensor(mean), tensor(sd))[0]) == pytest.approx(float(first), rel=1e-13)
    assert float(relu_variance(tensor(mean), tensor(sd))[0]) == pytest.approx(
        float(second - first**2), rel=1e-11, abs=1e-15
    )


def test_a_unit_without_noise_is_the_relu_itself() -> None:
    mean, sd = tensor(-3.0, 0.0, 2.0), tensor(0.0, 0.0, 0.0)
    assert relu_mean(mean, sd).tolist() == [0.0, 0.0, 2.0]
    assert relu_variance(mean, sd).tolist() == [0.0, 0.0, 0.0]
    assert relu_gate(mean, sd).tolist() == [0.0, 0.5, 1.0]
    assert standardized(mean, sd).tolist() == [-40.0, 0.0, 40.0]


def test_huge_ratios_give_the_linear_limit_in_float32() -> None:
    mean, sd = torch.tensor([1e4, -1e4]), torch.tensor([1e-3, 1e-3])
    assert relu_mean(mean, sd).tolist() == [1e4, 0.0]
    assert relu_variance(mean, sd).tolist() == pytest.approx([1e-6, 0.0], rel=1e-6)


def test_gradients_are_finite_in_both_tails() -> None:
    mean = tensor(-30.0, -1.0, 0.0, 30.0).requires_grad_()
    relu_mean(mean, torch.ones(4, dtype=torch.float64)).sum().backward()
    assert mean.grad is not None
    torch.testing.assert_close(mean.grad, relu_gate(mean, torch.ones_like(mean)).detach())


def test_gradients_are_finite_where_quotients_are_not() -> None:
    """1e30 stands for a tap in the padding: over a small deviation it is beyond float32."""
    mean, sd = torch.tensor([1e30, -1e30, 0.3]).requires_grad_(), torch.tensor([1e-9, 0.0, 0.1]).requires_grad_()
    m = standardized(mean, sd)
    assert m.tolist() == pytest.approx([40.0, -40.0, 3.0])
    by_mean, by_sd = torch.autograd.grad(m.sum(), (mean, sd))
    assert by_mean.tolist() == pytest.approx([0.0, 0.0, 10.0])
    assert by_sd.tolist() == pytest.approx([0.0, 0.0, -30.0])
