import pytest
import torch
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.moments.affine_relu_affine import (
    PreActivation,
    gram_matrix,
    output_covariance,
    output_mean,
    output_variance,
    pre_activation,
)

N, P, D = 15, 40, 4


def random_network(seed: int) -> AffineReluAffine:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return AffineReluAffine(AffineMap(normal(P, N) / 3, normal(P)), AffineMap(normal(D, P) / 6, normal(D)))


def before_relu(network: AffineReluAffine, sigma: float = 0.6) -> PreActivation:
    centre = torch.linspace(-1, 1, N, dtype=torch.float64)
    return pre_activation(network.inner, gram_matrix(network.inner), centre, sigma)


@pytest.mark.parametrize("seed", range(3))
def test_moments_agree_with_brute_force_sampling(seed: int) -> None:
    network, sigma, count = random_network(seed), 0.6, 400_000
    generator = torch.Generator().manual_seed(100 + seed)
    centre = torch.linspace(-1, 1, N, dtype=torch.float64)
    f = network(centre + sigma * torch.randn(count, N, generator=generator, dtype=torch.float64))
    pre = before_relu(network, sigma)
    mean, covariance = output_mean(network.outer, pre), output_covariance(network.outer, pre)
    deviations = f - mean
    assert ((f.mean(0) - mean) / (f.std(0) / count**0.5)).abs().max() < 4
    products = deviations[:, :, None] * deviations[:, None, :]
    assert ((products.mean(0) - covariance) / (products.std(0) / count**0.5)).abs().max() < 4.5


def test_variance_is_the_diagonal_of_a_symmetric_positive_covariance() -> None:
    network = random_network(0)
    pre = before_relu(network)
    covariance = output_covariance(network.outer, pre)
    assert torch.equal(covariance, covariance.mT)
    assert torch.linalg.eigvalsh(covariance).min() > 0
    torch.testing.assert_close(output_variance(network.outer, pre), covariance.diagonal(), rtol=1e-13, atol=0)


def test_order_and_positive_scale_of_hidden_units_do_not_matter() -> None:
    network = random_network(1)
    generator = torch.Generator().manual_seed(7)
    order = torch.randperm(P, generator=generator)
    scale = torch.exp(torch.randn(P, generator=generator, dtype=torch.float64))
    inner = AffineMap((scale[:, None] * network.inner.weight)[order], (scale * network.inner.bias)[order])
    outer = AffineMap((network.outer.weight / scale)[:, order], network.outer.bias)
    pre, other = before_relu(network), before_relu(AffineReluAffine(inner, outer))
    torch.testing.assert_close(output_mean(outer, other), output_mean(network.outer, pre), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(
        output_covariance(outer, other), output_covariance(network.outer, pre), rtol=1e-11, atol=1e-13
    )


def test_small_noise_gives_the_jacobians_covariance() -> None:
    network, sigma = random_network(2), 1e-4
    pre = before_relu(network, sigma)
    jacobian = (network.outer.weight * (pre.mean > 0)) @ network.inner.weight
    torch.testing.assert_close(
        output_covariance(network.outer, pre) / sigma**2, jacobian @ jacobian.mT, rtol=1e-10, atol=1e-10
    )
    centre = torch.linspace(-1, 1, N, dtype=torch.float64)
    torch.testing.assert_close(output_mean(network.outer, pre), network(centre), rtol=1e-12, atol=1e-12)


def test_no_noise_gives_no_variance() -> None:
    network = random_network(2)
    pre = before_relu(network, 0.0)
    assert not output_covariance(network.outer, pre).any()
    assert torch.equal(output_mean(network.outer, pre), network(torch.linspace(-1, 1, N, dtype=torch.float64)))


def test_second_bias_moves_the_mean_only() -> None:
    network = random_network(0)
    moved = AffineMap(network.outer.weight, network.outer.bias + 3.0)
    pre = before_relu(network)
    torch.testing.assert_close(output_mean(moved, pre), output_mean(network.outer, pre) + 3.0)
    assert torch.equal(output_covariance(moved, pre), output_covariance(network.outer, pre))


def test_float32_agrees_with_float64() -> None:
    network = random_network(1)
    single = AffineReluAffine(
        AffineMap(network.inner.weight.float(), network.inner.bias.float()),
        AffineMap(network.outer.weight.float(), network.outer.bias.float()),
    )
    pre = pre_activation(single.inner, gram_matrix(single.inner), torch.linspace(-1, 1, N), 0.6)
    found = output_covariance(single.outer, pre)
    expected = output_covariance(network.outer, before_relu(network)).float()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=2e-6, atol=2e-6)
