import pytest
import torch

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.moments.affine_relu_affine import gram_matrix, output_covariance, output_mean
from nmcheck.moments.gaussian import Diagonal, Factored, GaussianInput, Isotropic
from nmcheck.moments.summary import SkipSummary, Summary, summary_covariance, summary_mean


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("sigma", [0.01, 1.0])
@pytest.mark.parametrize(
    "structure",
    [Isotropic(), Diagonal(torch.arange(5.0).double()), Factored(normal(3, 5, seed=9))],
    ids=["iso", "diag", "factor"],
)
def test_a_summary_has_the_moments_of_its_network(skip: bool, sigma: float, structure) -> None:
    A, c1, B, c2, C = (normal(*shape, seed=i) for i, shape in enumerate([(6, 5), (6,), (3, 6), (3,), (3, 5)]))
    network = AffineReluAffine(AffineMap(A, c1), AffineMap(B, c2), C if skip else None)
    x = GaussianInput(normal(5, seed=7), sigma, structure)
    gram = gram_matrix(network.inner, structure)
    AF, CF = structure.response(A), structure.response(C)
    summary = Summary(
        A @ x.mean + c1, gram, network.outer, SkipSummary(C @ x.mean, CF @ CF.mT, AF @ CF.mT) if skip else None
    )
    assert torch.allclose(summary_mean(summary, sigma), output_mean(network, x, gram), rtol=1e-13)
    covariance = output_covariance(network, x, gram)
    assert (summary_covariance(summary, sigma) - covariance).abs().max() < 1e-13 * covariance.abs().max()


@pytest.mark.parametrize("sigma", [1e-30, 1e-3, 1.0, 1e20])
def test_pairs_in_single_precision_change_only_the_seventh_digit(sigma: float) -> None:
    A, B = normal(30, 5, seed=0), normal(3, 30, seed=1)
    units = normal(30, seed=2) * sigma
    summary = Summary(units, A @ A.mT, AffineMap(B, torch.zeros(3, dtype=torch.float64)))
    exact = summary_covariance(summary, sigma)
    single = summary_covariance(summary, sigma, pairs=torch.float32)
    assert (single - exact).abs().max() < 3e-6 * exact.abs().max()


def test_units_that_noise_does_not_move_have_no_covariance_in_either_precision() -> None:
    outer = AffineMap(normal(2, 3, seed=0), torch.zeros(2, dtype=torch.float64))
    summary = Summary(torch.ones(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64), outer)
    for pairs in (torch.float32, torch.float64):
        assert not summary_covariance(summary, 1.0, pairs=pairs).any()
