import math

import numpy as np
import pytest
import scipy.stats
import torch

from nmcheck.moments.flips import (
    MOST_CONTENDERS,
    clopper_pearson,
    gaussian_class_probabilities,
    gaussian_flip_probability,
    pooled_clopper_pearson,
)


@pytest.mark.parametrize(("flips", "trials"), [(0, 50), (1, 50), (17, 500), (50, 50), (0, 1)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_interval_is_scipys_exact_binomial_interval(flips: int, trials: int, confidence: float) -> None:
    found = clopper_pearson(flips, trials, confidence)
    expected = scipy.stats.binomtest(flips, trials).proportion_ci(confidence, method="exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert (found.rate, found.n, found.confidence) == (flips / trials, trials, confidence)


@pytest.mark.parametrize(("flips", "trials"), [(0, 0), (3, 2), (-1, 5)])
def test_impossible_counts_are_refused(flips: int, trials: int) -> None:
    with pytest.raises(ValueError, match="not a count"):
        clopper_pearson(flips, trials)


def poisson_binomial(rates: np.ndarray) -> np.ndarray:
    distribution = np.ones(1)
    for rate in rates:
        distribution = np.convolve(distribution, [1 - rate, rate])
    return distribution


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_pooled_interval_covers_images_of_differing_rates(confidence: float) -> None:
    generator = np.random.default_rng(0)
    intervals = [pooled_clopper_pearson([(k, 40)], confidence) for k in range(41)]
    cases = [np.repeat(generator.beta(0.1, 1 + 10 * generator.random(), size=4), 10) for _ in range(300)]
    # The case Hoeffding's theorem leaves out: all of a small expected count in one trial.
    cases += [np.array([rate, *[0.0] * 39]) for rate in (0.02, 0.025, 0.0252, 0.1, 0.106, 0.9, 0.98)]
    cases += [1 - case for case in cases]
    for rates in cases:
        covers = [interval.low <= rates.mean() <= interval.high for interval in intervals]
        assert poisson_binomial(rates)[np.array(covers)].sum() >= confidence - 1e-12


def test_pooling_adds_the_counts() -> None:
    assert pooled_clopper_pearson([(1, 250), (0, 250), (7, 250)]) == clopper_pearson(8, 750)


def test_two_classes_have_a_closed_form() -> None:
    mean = torch.tensor([1.0, 0.2], dtype=torch.float64)
    covariance = torch.tensor([[0.5, 0.1], [0.1, 0.3]], dtype=torch.float64)
    expected = scipy.stats.norm.cdf(-0.8 / math.sqrt(0.5 + 0.3 - 0.2))
    assert gaussian_flip_probability(mean, covariance, 0) == pytest.approx(expected, abs=1e-12)
    assert gaussian_flip_probability(mean, covariance, 1) == pytest.approx(1 - expected, abs=1e-12)


@pytest.mark.parametrize(("rank", "dtype"), [(10, torch.float64), (3, torch.float64), (3, torch.float32)])
def test_flip_probability_agrees_with_sampling_for_full_and_singular_covariances(rank: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(rank)
    factor = torch.randn(10, rank, generator=generator, dtype=torch.float64)
    mean = torch.randn(10, generator=generator, dtype=torch.float64)
    mean[4] = mean.max() + 1.5
    logits = mean + torch.randn(300_000, rank, generator=generator, dtype=torch.float64) @ factor.mT
    rate = float((logits.argmax(1) != 4).double().mean())
    found = gaussian_flip_probability(mean.to(dtype), (factor @ factor.mT).to(dtype), 4)
    assert abs(found - rate) < 4 * math.sqrt(rate * (1 - rate) / 300_000) + 3e-4
    assert found == gaussian_flip_probability(mean.to(dtype), (factor @ factor.mT).to(dtype), 4)


def test_logits_without_variance_are_decided_by_their_order() -> None:
    mean, none = torch.tensor([2.0, 1.0, 0.0]), torch.zeros(3, 3)
    assert gaussian_flip_probability(mean, none, 0) == 0.0
    assert gaussian_flip_probability(mean, none, 1) == 1.0
    # Noise common to all logits changes no margin.
    assert gaussian_flip_probability(mean, torch.ones(3, 3), 0) == 0.0
    assert math.isnan(gaussian_flip_probability(mean, math.nan * none, 0))


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.6, 0.99])
def test_two_even_margins_are_sheppards_quadrant(rho: float) -> None:
    # Margins f_0 - f_1 and f_0 - f_2 of correlation rho, both of mean 0.
    covariance = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, rho], [0.0, rho, 1.0]], dtype=torch.float64)
    found = gaussian_flip_probability(torch.zeros(3, dtype=torch.float64), covariance, 0)
    assert found == pytest.approx(0.75 - math.asin(rho) / (2 * math.pi), abs=3e-4)


@pytest.mark.parametrize("classes", [4, 10, 31])
def test_exchangeable_logits_flip_all_but_one_time_in_as_many_as_there_are_classes(classes: int) -> None:
    found = gaussian_flip_probability(torch.zeros(classes), torch.eye(classes), 1)
    assert found == pytest.approx(1 - 1 / classes, abs=1e-3)


@pytest.mark.parametrize("gap", [4.0, 5.0, 7.0])
def test_a_rare_flip_keeps_its_digits(gap: float) -> None:
    mean = torch.tensor([gap, 0.0, 0.0, 0.0], dtype=torch.float64)
    found = gaussian_flip_probability(mean, torch.eye(4, dtype=torch.float64), 0)
    # P(max of three normals > a fourth + gap), by quadrature over the fourth.
    x = np.linspace(-12, 12, 20_001)
    exact = np.trapezoid(scipy.stats.norm.pdf(x) * -np.expm1(3 * scipy.stats.norm.logcdf(x + gap)), x)
    assert exact / 3 <= found <= 1.2 * exact


def sampled_classes(mean: torch.Tensor, factor: torch.Tensor, count: int = 300_000) -> np.ndarray:
    normals = torch.randn(count, factor.shape[1], generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    winners = (mean + normals @ factor.mT).argmax(dim=1)
    return torch.bincount(winners, minlength=len(mean)).numpy() / count


@pytest.mark.parametrize("lead", [0.0, 2.0, 5.0])
@pytest.mark.parametrize("rank", [3, 10])
def test_class_probabilities_agree_with_sampling(rank: int, lead: float) -> None:
    generator = torch.Generator().manual_seed(rank)
    factor = torch.randn(10, rank, generator=generator, dtype=torch.float64)
    mean = torch.randn(10, generator=generator, dtype=torch.float64)
    mean[4] = mean.max() + lead
    covariance = factor @ factor.mT
    found = gaussian_class_probabilities(mean, covariance, 4)
    assert found is not None
    expected = sampled_classes(mean, factor)
    assert (np.abs(found - expected) < 4.5 * np.sqrt(expected * (1 - expected) / 300_000) + 6e-4).all()
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert (found >= 0).all()
    assert 1 - found[4] == pytest.approx(gaussian_flip_probability(mean, covariance, 4), abs=1e-12)


def test_class_probabilities_of_independent_logits_keep_small_digits() -> None:
    """By quadrature: P(j wins) = integral of phi(x - mu_j) prod_i Phi(x - mu_i)."""
    mean = np.array([6.0, 0.5, 0.0, -1.0])
    x = np.linspace(-12, 20, 40_001)
    cdf = scipy.stats.norm.cdf(x[:, None] - mean)
    exact = [
        np.trapezoid(scipy.stats.norm.pdf(x - mean[j]) * np.delete(cdf, j, axis=1).prod(axis=1), x) for j in range(4)
    ]
    found = gaussian_class_probabilities(torch.from_numpy(mean), torch.eye(4, dtype=torch.float64), 0)
    assert found is not None
    assert found[1:] == pytest.approx(exact[1:], rel=0.05)


def test_class_probabilities_without_noise_or_of_too_many_classes() -> None:
    mean, none = torch.tensor([2.0, 3.0, 0.0]), torch.zeros(3, 3)
    assert gaussian_class_probabilities(mean, none, 1) == pytest.approx([0, 1, 0])
    # The mean may move the largest logit for certain.
    assert gaussian_class_probabilities(mean, none, 0) == pytest.approx([0, 1, 0])
    many = MOST_CONTENDERS + 2
    assert gaussian_class_probabilities(torch.zeros(many), torch.eye(many), 0) is None
    assert gaussian_class_probabilities(torch.zeros(many - 1), torch.eye(many - 1), 0) is not None
    far = torch.full((many,), -30.0)
    far[[3, 5]] = 0.0
    found = gaussian_class_probabilities(far, torch.eye(many), 3)
    assert found is not None
    assert found[[3, 5]] == pytest.approx([0.5, 0.5], abs=1e-3)


@pytest.mark.parametrize("classes", [400])
def test_many_far_classes_add_up(classes: int) -> None:
    """Each so far away that the integral leaves it out, together seen by their sum."""
    mean = torch.zeros(classes, dtype=torch.float64)
    mean[0] = 5.5 * math.sqrt(2)
    found = gaussian_flip_probability(mean, torch.eye(classes, dtype=torch.float64), 0)
    x = np.linspace(-12, 12, 20_001)
    exact = np.trapezoid(
        scipy.stats.norm.pdf(x) * -np.expm1((classes - 1) * scipy.stats.norm.logcdf(x + float(mean[0]))), x
    )
    assert exact <= found <= 1.2 * exact
