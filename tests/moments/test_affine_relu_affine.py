from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.moments.affine_relu_affine import (
    GaussianInput,
    gram_matrix,
    output_covariance,
    output_mean,
    output_variance,
)
from nmcheck.moments.summary import SkipSummary, Summary, summary_covariance

N, P, D = 15, 40, 4
CENTRE = torch.linspace(-1, 1, N, dtype=torch.float64)
X = GaussianInput(CENTRE, 0.6)
SKIPS = pytest.mark.parametrize("skip", [False, True], ids=["cut", "skip"])


def random_network(seed: int, *, skip: bool) -> AffineReluAffine:
    """With a skip term about as large as what goes through the ReLU."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inner, outer = AffineMap(normal(P, N) / 3, normal(P)), AffineMap(normal(D, P) / 6, normal(D))
    return AffineReluAffine(inner, outer, skip=normal(D, N) / 3 if skip else None)


def mean_of(network: AffineReluAffine, x: GaussianInput = X) -> Tensor:
    return output_mean(network, x, gram_matrix(network.inner))


def covariance_of(network: AffineReluAffine, x: GaussianInput = X) -> Tensor:
    return output_covariance(network, x, gram_matrix(network.inner))


def brute_force(network: AffineReluAffine, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sampled mean and covariance, each with its standard error."""
    count = 400_000
    generator = torch.Generator().manual_seed(seed)
    f = network(CENTRE + X.sigma * torch.randn(count, N, generator=generator, dtype=torch.float64))
    deviations = f - mean_of(network)
    products = deviations[:, :, None] * deviations[:, None, :]
    root = count**0.5
    return f.mean(0), f.std(0) / root, products.mean(0), products.std(0) / root


@SKIPS
@pytest.mark.parametrize("seed", range(3))
def test_moments_agree_with_brute_force_sampling(seed: int, skip: bool) -> None:
    network = random_network(seed, skip=skip)
    mean, mean_se, covariance, covariance_se = brute_force(network, 100 + seed)
    assert ((mean - mean_of(network)) / mean_se).abs().max() < 4
    assert ((covariance - covariance_of(network)) / covariance_se).abs().max() < 4.5


def test_sampling_tells_the_skip_terms_covariance_from_plausible_mistakes() -> None:
    """Without C, without the cross terms, or with 2M for M + M', the same test fails."""
    network = random_network(0, skip=True)
    assert network.skip is not None
    sampled_mean, mean_se, sampled, se = brute_force(network, 100)
    right, without = covariance_of(network), replace(network, skip=None)
    assert ((sampled_mean - mean_of(without)) / mean_se).abs().min() > 20
    assert ((sampled - covariance_of(without)) / se).diagonal().abs().min() > 20
    gate = torch.special.ndtr(network.inner(CENTRE) / (X.sigma * network.inner.weight.norm(dim=1)))
    cross = X.sigma**2 * (network.outer.weight * gate) @ network.inner.weight @ network.skip.mT
    assert ((sampled - (right - cross - cross.mT)) / se).diagonal().abs().max() > 20
    twice = right - cross.mT + cross
    torch.testing.assert_close(twice.diagonal(), right.diagonal())
    assert ((sampled - twice) / se).abs().max() > 20


def test_units_that_never_switch_leave_an_affine_map() -> None:
    """With every unit on, the network is (B A + C) x + const, whose moments need no formula of a ReLU."""
    network = random_network(3, skip=True)
    assert network.skip is not None
    on = replace(network, inner=AffineMap(network.inner.weight, network.inner.bias + 1000.0))
    whole = on.outer.weight @ on.inner.weight + network.skip
    torch.testing.assert_close(covariance_of(on), X.sigma**2 * whole @ whole.mT, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mean_of(on), on(CENTRE), rtol=1e-12, atol=1e-12)


def test_a_skip_term_is_the_same_as_two_relus_an_input() -> None:
    """C x = C relu(x) - C relu(-x): the same network without a skip term, whose moments must be the same."""
    network = random_network(4, skip=True)
    assert network.skip is not None
    eye, zero = torch.eye(N, dtype=torch.float64), torch.zeros(N, dtype=torch.float64)
    wide = AffineReluAffine(
        AffineMap(torch.cat([network.inner.weight, eye, -eye]), torch.cat([network.inner.bias, zero, zero])),
        AffineMap(torch.cat([network.outer.weight, network.skip, -network.skip], dim=1), network.outer.bias),
    )
    points = torch.randn(20, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(wide(points), network(points))
    torch.testing.assert_close(wide.jacobian(points[0]), network.jacobian(points[0]))
    torch.testing.assert_close(mean_of(wide), mean_of(network), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(covariance_of(wide), covariance_of(network), rtol=1e-11, atol=1e-12)


@SKIPS
def test_variance_is_the_diagonal_of_a_symmetric_positive_covariance(skip: bool) -> None:
    network = random_network(0, skip=skip)
    covariance = covariance_of(network)
    assert torch.equal(covariance, covariance.mT)
    assert torch.linalg.eigvalsh(covariance).min() > 0
    variance = output_variance(network, X, gram_matrix(network.inner))
    torch.testing.assert_close(variance, covariance.diagonal(), rtol=1e-13, atol=0)


@SKIPS
def test_order_and_positive_scale_of_hidden_units_do_not_matter(skip: bool) -> None:
    network = random_network(1, skip=skip)
    generator = torch.Generator().manual_seed(7)
    order = torch.randperm(P, generator=generator)
    scale = torch.exp(torch.randn(P, generator=generator, dtype=torch.float64))
    inner = AffineMap((scale[:, None] * network.inner.weight)[order], (scale * network.inner.bias)[order])
    outer = AffineMap((network.outer.weight / scale)[:, order], network.outer.bias)
    other = AffineReluAffine(inner, outer, network.skip)
    torch.testing.assert_close(mean_of(other), mean_of(network), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(covariance_of(other), covariance_of(network), rtol=1e-11, atol=1e-13)


@SKIPS
def test_small_noise_gives_the_jacobians_covariance(skip: bool) -> None:
    network, sigma = random_network(2, skip=skip), 1e-4
    x = GaussianInput(CENTRE, sigma)
    jacobian = network.jacobian(CENTRE)
    torch.testing.assert_close(covariance_of(network, x) / sigma**2, jacobian @ jacobian.mT, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mean_of(network, x), network(CENTRE), rtol=1e-12, atol=1e-12)


@SKIPS
def test_jacobian_is_the_derivative(skip: bool) -> None:
    network = random_network(2, skip=skip)
    torch.testing.assert_close(network.jacobian(CENTRE), torch.func.jacrev(network)(CENTRE))


@SKIPS
def test_no_noise_gives_no_variance(skip: bool) -> None:
    network = random_network(2, skip=skip)
    x = GaussianInput(CENTRE, 0.0)
    assert not covariance_of(network, x).any()
    torch.testing.assert_close(mean_of(network, x), network(CENTRE), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("seed", range(10))
def test_what_the_skip_term_takes_back_has_no_variance_below_zero(seed: int) -> None:
    network = random_network(seed, skip=True)
    open_always = AffineMap(network.inner.weight, 1000 + network.inner.bias)
    cancelled = AffineReluAffine(open_always, network.outer, skip=-network.outer.weight @ network.inner.weight)
    gram = gram_matrix(open_always)
    assert (output_variance(cancelled, X, gram) >= 0).all()
    assert (output_variance(cancelled, X, gram) < 1e-25).all()
    assert cancelled.skip is not None
    skip = SkipSummary(
        cancelled.skip @ CENTRE, cancelled.skip @ cancelled.skip.mT, open_always.weight @ cancelled.skip.mT
    )
    kept = Summary(open_always(CENTRE), gram, network.outer, skip)
    variance = summary_covariance(kept, 0.6).diagonal()
    assert (variance >= 0).all()
    assert (variance < 1e-12).all()


def test_second_bias_moves_the_mean_only() -> None:
    network = random_network(0, skip=True)
    moved = replace(network, outer=AffineMap(network.outer.weight, network.outer.bias + 3.0))
    torch.testing.assert_close(mean_of(moved), mean_of(network) + 3.0)
    assert torch.equal(covariance_of(moved), covariance_of(network))


@SKIPS
def test_float32_agrees_with_float64(skip: bool) -> None:
    network = random_network(1, skip=skip)
    single = AffineReluAffine(
        AffineMap(network.inner.weight.float(), network.inner.bias.float()),
        AffineMap(network.outer.weight.float(), network.outer.bias.float()),
        None if network.skip is None else network.skip.float(),
    )
    found = covariance_of(single, GaussianInput(CENTRE.float(), 0.6))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, covariance_of(network).float(), rtol=2e-6, atol=2e-6)
