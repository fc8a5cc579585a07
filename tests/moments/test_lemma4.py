import pytest
import torch

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.moments.affine_relu_affine import (
    GaussianInput,
    PreActivation,
    gram_matrix,
    output_variance,
    pre_activation,
)
from nmcheck.moments.kernel import relu_covariance, relu_kernel
from nmcheck.moments.lemma4 import lemma4_product, lemma4_variance
from nmcheck.moments.normal import relu_of_shifted_normal

M = torch.tensor([*range(-6, 7), -0.05, -0.003, 0.003, 0.05], dtype=torch.float64)


def largest_error(rho: float, terms: int) -> float:
    m1, m2, r = (t.reshape(-1) for t in torch.meshgrid(M, M, torch.tensor([rho, -rho], dtype=M.dtype), indexing="ij"))
    exact = relu_kernel(m1, m2, r) + relu_of_shifted_normal(m1) * relu_of_shifted_normal(m2)
    return float((lemma4_product(m1, m2, r, terms) - exact).abs().max())


@pytest.mark.parametrize(
    ("rho", "terms", "published"), [(0.7, 5, 4.8e-2), (0.7071, 5, 6.0e-2), (0.7, 20, 4e-3), (0.7071, 20, 9e-3)]
)
def test_truncation_error_near_one_over_root_two_is_as_large_as_measured(
    rho: float, terms: int, published: float
) -> None:
    assert largest_error(rho, terms) == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize(("rho", "tolerance"), [(0.1, 1e-9), (0.3, 1e-5), (0.9, 1e-4), (0.99, 1e-10), (0.9999, 1e-12)])
def test_five_terms_are_enough_away_from_there(rho: float, tolerance: float) -> None:
    assert largest_error(rho, 5) < tolerance


def test_series_converges_on_both_sides() -> None:
    assert largest_error(0.5, 60) < 1e-13
    assert largest_error(0.85, 60) < 1e-13


def test_full_correlation_has_no_value() -> None:
    one = torch.ones(3, dtype=torch.float64)
    assert lemma4_product(one, one, torch.tensor([1.0, -1.0, 1.5], dtype=torch.float64)).isnan().all()
    pre = PreActivation(one[:2], torch.ones(2, 2, dtype=torch.float64))
    outer = AffineMap(torch.ones(1, 2, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    assert lemma4_variance(outer, pre).isnan().all()


def test_variance_is_right_where_correlations_are_small() -> None:
    generator = torch.Generator().manual_seed(5)
    inner = AffineMap(
        torch.randn(40, 400, generator=generator, dtype=torch.float64) / 20,
        torch.randn(40, generator=generator, dtype=torch.float64),
    )
    weight = torch.randn(3, 40, generator=generator, dtype=torch.float64)
    weight[:, 0] = 0.0
    inner.weight[1] = 0.0  # a unit without noise
    outer = AffineMap(weight, torch.tensor([5.0, -5.0, 0.0], dtype=torch.float64))
    x, gram = GaussianInput(torch.zeros(400, dtype=torch.float64), 0.7), gram_matrix(inner)
    found = lemma4_variance(outer, pre_activation(inner, x, gram))
    torch.testing.assert_close(found, output_variance(AffineReluAffine(inner, outer), x, gram), rtol=1e-8, atol=0)


def test_units_far_from_their_kink_keep_their_real_mean() -> None:
    """m = 300 and -300: a mean held within 40 deviations would be wrong by most of its size."""
    mean = torch.tensor([3.0, -3.0, 2.0, 0.01], dtype=torch.float64)
    sd = torch.full((4,), 0.01, dtype=torch.float64)
    correlation = torch.full((4, 4), 0.3, dtype=torch.float64).fill_diagonal_(1.0)
    pre = PreActivation(mean, sd[:, None] * correlation * sd)
    outer = AffineMap(torch.ones(1, 4, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    exact = relu_covariance(mean, pre.covariance).sum().reshape(1)
    torch.testing.assert_close(lemma4_variance(outer, pre), exact, rtol=1e-3, atol=0)
