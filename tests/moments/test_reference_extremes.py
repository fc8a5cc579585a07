"""The reference where samples see little: rare kinks, saturation, rounding, offsets, masks, heavy tails."""

import math
from collections.abc import Callable
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.moments.affine_relu_affine import gram_matrix, output_mean, output_variance
from nmcheck.moments.gaussian import Diagonal, GaussianInput
from nmcheck.moments.reference import control_variate, plain
from nmcheck.moments.reference_moments import TRUSTED, ReferenceMoments

N = 12
SINGLE = 1e-6


def one_hidden_layer(bias: float, seed: int = 0) -> AffineReluAffine:
    """Twenty units whose kinks lie about ``bias`` away from the centre, on either side."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return AffineReluAffine(
        AffineMap(normal(20, N) / N**0.5, bias * torch.sign(normal(20))), AffineMap(normal(3, 20) / 20**0.5, normal(3))
    )


def at(sigma: float, only: int | None = None) -> GaussianInput:
    mean = torch.zeros(N, dtype=torch.float64)
    if only is None:
        return GaussianInput(mean, sigma)
    scale = torch.zeros(N, dtype=torch.float64)
    scale[only] = 1.0
    return GaussianInput(mean, sigma, Diagonal(scale))


def run(
    function: Callable[[Tensor], Tensor], x: GaussianInput, seed: int = 0, pairs: int = 250, rounding: float = 1e-13
) -> ReferenceMoments:
    slope = torch.func.jacrev(lambda u: function(u[None])[0])(x.mean)
    return control_variate(function, x, slope, pairs=pairs, label=0, seed=seed, rounding=rounding)


@pytest.mark.parametrize("only", [None, 5], ids=["all pixels", "one pixel"])
@pytest.mark.parametrize("sigma", [1e-6, 1e-3, 0.05, 0.3, 1.0, 10.0])
@pytest.mark.parametrize("bias", [0.3, 2.0, 4.0])
def test_the_truth_is_within_stated_errors_however_rarely_a_kink_is_crossed(
    bias: float, sigma: float, only: int | None
) -> None:
    """By the spread of the draws alone, means were off by 7 to 17 stated errors, and by 100 with fitted controls."""
    network, x = one_hidden_layer(bias), at(sigma, only)
    gram = gram_matrix(network.inner, x.structure)
    mean, variance = output_mean(network, x, gram), output_variance(network, x, gram)
    found = [run(network, x, seed) for seed in range(20)]
    for one in found:
        assert ((one.mean - mean).abs() <= 5 * one.mean_se).all()
        assert ((one.variance - variance).abs() <= 5 * one.variance_se).all()
    close = torch.stack([(one.mean - mean).abs() <= 2 * one.mean_se for one in found])
    assert close.double().mean() > 0.85


@pytest.mark.parametrize("slope", ["zero", "wrong", "huge", "not a number"])
def test_a_wrong_slope_widens_the_error_and_moves_nothing(slope: str) -> None:
    network, x = one_hidden_layer(0.3), at(0.5)
    gram = gram_matrix(network.inner)
    right = network.jacobian(x.mean)
    given = {"zero": 0 * right, "wrong": -right, "huge": 1e12 * right, "not a number": math.nan * right}[slope]
    one = control_variate(network, x, given, pairs=4000, label=0, seed=1)
    assert ((one.mean - output_mean(network, x, gram)).abs() <= 4 * one.mean_se).all()
    assert ((one.variance - output_variance(network, x, gram)).abs() <= 4 * one.variance_se).all()
    assert not one.controlled.any() or slope == "huge"


def test_nothing_is_fitted_on_rounding() -> None:
    """Outputs on an offset of 1e6 in float32 jump by 0.06; the control moves by a thousandth of that."""
    network = one_hidden_layer(0.3)

    def offset(x: Tensor) -> Tensor:
        return (network(x) + 1e6).float().double()

    one = control_variate(offset, at(1e-5), network.jacobian(at(1.0).mean), pairs=250, label=0, seed=0, rounding=SINGLE)
    assert not one.controlled.any()
    assert not one.moved.any()
    assert (one.variance == 0).all()
    assert (one.mean_se >= 0.9).all()


def test_an_offset_takes_nothing_from_what_noise_moves() -> None:
    network, x = one_hidden_layer(0.3), at(0.5)
    near = run(network, x)
    far = run(lambda u: network(u) + 1e6, x)
    torch.testing.assert_close(far.variance, near.variance, rtol=1e-6, atol=0)
    torch.testing.assert_close(far.mean - 1e6, near.mean, rtol=0, atol=1e-7)


def test_a_masked_class_has_no_variance_and_hides_no_other() -> None:
    network = one_hidden_layer(0.3)
    for mask in (-1e4, -1e9, -3.4e38):

        def masked(u: Tensor, mask: float = mask) -> Tensor:
            y = network(u)
            return torch.cat([y[:, :2], torch.full_like(y[:, 2:], mask)], dim=1)

        one, free = run(masked, at(0.5), rounding=SINGLE), run(network, at(0.5), rounding=SINGLE)
        assert one.moved.tolist() == [True, True, False]
        assert float(one.variance[2]) == 0.0
        torch.testing.assert_close(one.mean_se[:2], free.mean_se[:2], rtol=1e-3, atol=0)
        assert not one.heavy_tailed.any()


def test_a_dead_output_is_said_to_be_unmoved_and_a_tied_one_is_like_its_twin() -> None:
    network = one_hidden_layer(0.3)

    def twins(u: Tensor) -> Tensor:
        y = network(u)
        return torch.stack([y[:, 0], y[:, 0], torch.relu(y[:, 1] - 100) - 100], dim=1)

    one = run(twins, at(0.5))
    assert one.moved.tolist() == [True, True, False]
    assert one.variance[0] == one.variance[1]
    assert one.flips == 0


def test_scaling_by_a_power_of_two_scales_every_number_exactly() -> None:
    network, x = one_hidden_layer(0.3), at(0.5)
    one, other = run(network, x), run(lambda u: 2.0**40 * network(u), x)
    for name, power in (("mean", 1), ("mean_se", 1), ("rounding", 1), ("variance", 2), ("variance_se", 2)):
        assert torch.equal(getattr(other, name), 2.0 ** (40 * power) * getattr(one, name)), name
    assert torch.equal(one.carriers, other.carriers)


@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_tiny_and_huge_outputs_neither_vanish_nor_overflow(size: float) -> None:
    network, x = one_hidden_layer(0.3), at(0.5)
    one = run(lambda u: size * network(u), x)
    for field in fields(ReferenceMoments):
        value = getattr(one, field.name)
        assert not isinstance(value, Tensor) or bool(torch.isfinite(value.double()).all()), field.name
    assert one.moved.all()
    assert (one.variance > 0).all()


@pytest.mark.parametrize("sampler", ["control variate", "plain"])
def test_a_variance_that_few_samples_carry_is_not_trusted(sampler: str) -> None:
    """Exponentials of 3 Gaussian deviations: their variance is e^18, and samples see a thousandth of it."""
    x = GaussianInput(torch.zeros(3, dtype=torch.float64), 1.0)

    def tails(u: Tensor) -> Tensor:
        return torch.stack([u[:, 0], u[:, 1].abs(), torch.exp(3 * u[:, 2])], dim=1)

    eye = torch.eye(3, dtype=torch.float64)
    for seed in range(20):
        if sampler == "plain":
            one = plain(tails, x, samples=1000, label=0, seed=seed)
        else:
            one = control_variate(tails, x, eye, pairs=500, label=0, seed=seed)
        assert one.heavy_tailed.tolist() == [False, False, True]
        assert one.samples_for_tails is not None
        assert one.samples_for_tails >= TRUSTED / float(one.carriers[2]) * 1000 - 2


def test_a_network_without_heavy_tails_needs_no_more_samples() -> None:
    for seed in range(20):
        one = run(one_hidden_layer(0.3), at(0.5), seed, pairs=300)
        assert not one.heavy_tailed.any()
        assert one.samples_for_tails is None


def test_a_fault_in_the_stated_error_would_be_seen() -> None:
    """By the spread of the draws alone, this network's exact mean is many errors off."""
    network, x = one_hidden_layer(2.0), at(1.0, only=5)
    mean = output_mean(network, x, gram_matrix(network.inner, x.structure))
    worst = 0.0
    for seed in range(40):
        seen: list[Tensor] = []

        def watched(u: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(network(u))
            return seen[-1]

        control_variate(watched, x, network.jacobian(x.mean), pairs=250, label=0, seed=seed, batch_size=500)
        plus, minus = seen[0].chunk(2)
        p = 0.5 * (plus + minus)
        worst = max(worst, float(((p.mean(0) - mean).abs() / (p.std(0) / 250**0.5 + 1e-12)).max()))
    assert worst > 6
