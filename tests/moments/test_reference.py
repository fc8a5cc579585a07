from dataclasses import fields

import pytest
import scipy.stats
import torch
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.errors import UsageError
from nmcheck.moments.affine_relu_affine import GaussianInput, gram_matrix, output_mean, output_variance
from nmcheck.moments.reference import ReferenceMoments, control_variate, plain

SIGMA = 0.8
CENTRE = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
INPUT = GaussianInput(CENTRE, SIGMA)


def small_network() -> AffineReluAffine:
    generator = torch.Generator().manual_seed(11)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return AffineReluAffine(AffineMap(normal(6, 3), normal(6)), AffineMap(normal(2, 6), normal(2)))


def truth(network: AffineReluAffine) -> tuple[Tensor, Tensor]:
    x, gram = GaussianInput(CENTRE, SIGMA), gram_matrix(network.inner)
    return output_mean(network, x, gram), output_variance(network, x, gram)


def sampled(method: str, seed: int, batch_size: int = 512) -> ReferenceMoments:
    network = small_network()
    if method == "plain":
        return plain(network, INPUT, samples=500, label=0, seed=seed, batch_size=batch_size)
    return control_variate(
        network, INPUT, network.jacobian(CENTRE), pairs=250, label=0, seed=seed, batch_size=batch_size
    )


@pytest.mark.parametrize("method", ["control-variate", "plain"])
def test_estimates_are_unbiased_and_their_intervals_cover(method: str) -> None:
    mean, variance = truth(small_network())
    runs = [sampled(method, seed) for seed in range(400)]
    for found, true in (("mean", mean), ("variance", variance)):
        values = torch.stack([getattr(run, found) for run in runs])
        errors = torch.stack([getattr(run, f"{found}_se") for run in runs])
        assert ((values.mean(0) - true) / (values.std(0) / 20)).abs().max() < 3.5
        # The stated standard error is the real one, within what 400 repetitions and skewness can tell.
        assert ((errors**2).mean(0).sqrt() / values.std(0) - 1).abs().max() < 0.12
    q = float(scipy.stats.t.ppf(0.975, 249))
    covered_mean = sum(int(((run.mean - mean).abs() <= q * run.mean_se)[0]) for run in runs)
    covered_variance = sum(int(((run.variance_low <= variance) & (variance <= run.variance_high))[0]) for run in runs)
    low, high = scipy.stats.binom.ppf([0.0005, 0.9995], 400, 0.95)
    assert low <= covered_mean <= high
    assert low - 4 <= covered_variance <= high  # 1 % below nominal is what the design measured


def test_control_variate_is_the_sharper_of_the_two_where_the_network_is_nearly_linear() -> None:
    network = small_network()
    pairs = control_variate(network, GaussianInput(CENTRE, 0.02), network.jacobian(CENTRE), pairs=500, label=0, seed=0)
    single = plain(network, GaussianInput(CENTRE, 0.02), samples=1000, label=0, seed=0)
    assert (pairs.mean_se < 0.3 * single.mean_se).all()
    assert (pairs.variance_se < 0.6 * single.variance_se).all()
    assert pairs.samples == single.samples == 1000


def test_a_linear_network_is_known_without_error() -> None:
    weight = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    run = control_variate(lambda x: x @ weight.mT, INPUT, weight, pairs=250, label=0, seed=3)
    torch.testing.assert_close(run.mean, weight @ CENTRE, rtol=0, atol=1e-14)
    torch.testing.assert_close(run.variance, SIGMA**2 * weight.square().sum(1), rtol=1e-12, atol=0)
    assert float(run.variance_se[0]) < 1e-12


def test_any_jacobian_is_valid_even_zero() -> None:
    network = small_network()
    _, variance = truth(network)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    run = control_variate(network, INPUT, zero, pairs=2000, label=0, seed=0)
    assert ((run.variance - variance) / run.variance_se).abs().max() < 3.5


@pytest.mark.parametrize("method", ["control-variate", "plain"])
def test_same_seed_same_numbers_whatever_the_batches(method: str) -> None:
    one, two, other = sampled(method, 5), sampled(method, 5, batch_size=14), sampled(method, 6)
    for field in fields(ReferenceMoments):
        torch.testing.assert_close(getattr(one, field.name), getattr(two, field.name), rtol=1e-10, atol=1e-12)
    assert torch.equal(one.mean, sampled(method, 5).mean)
    assert not torch.equal(one.mean, other.mean)


def test_flips_are_counted_on_independent_samples_only() -> None:
    network = small_network()
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        seen.append(x)
        return network(x)

    run = control_variate(watched, INPUT, network.jacobian(CENTRE), pairs=300, label=1, seed=2, batch_size=600)
    assert len(seen) == 1
    plus, minus = seen[0].chunk(2)
    torch.testing.assert_close(plus + minus, 2 * CENTRE.expand(300, 3))
    assert (run.flips, run.flip_trials) == (int((network(plus).argmax(1) != 1).sum()), 300)
    assert 0 < run.flips < 300


def test_noise_has_the_type_of_the_input() -> None:
    seen: list[torch.dtype] = []

    def evaluate(x: Tensor) -> Tensor:
        seen.append(x.dtype)
        return x

    eye = torch.eye(3)
    run = control_variate(evaluate, GaussianInput(CENTRE.float(), SIGMA), eye, pairs=250, label=0, seed=0)
    assert set(seen) == {torch.float32}
    assert run.mean.dtype == run.variance.dtype == torch.float64


def test_too_few_samples_are_refused() -> None:
    network = small_network()
    with pytest.raises(UsageError, match="at least 500"):
        control_variate(network, INPUT, network.jacobian(CENTRE), pairs=249, label=0, seed=0)
    with pytest.raises(UsageError, match="at least 250"):
        plain(network, INPUT, samples=249, label=0, seed=0)
