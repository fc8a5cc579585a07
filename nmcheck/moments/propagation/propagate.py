"""Gaussian noise through a network: forward for means and gates, backward for the covariance of the output.

Forward, every value has a mean, tangents and a few samples (``value``); each step's rule is exact for inputs that are
jointly Gaussian, which behind the first nonlinear step they are only nearly. That closure has no error bound: moments
propagated are estimates. Every output is its closest affine function of the noise and a residual uncorrelated with it,

    Cov = W_x Sigma W_x' + Cov(residual),

with W_x the outputs' derivatives in the input through the averaged slopes, by one pass backward (paths that meet again
in a residual network add up there). The residuals' covariance is that of ``SAMPLES`` noisy inputs, of which the linear
part is known exactly and taken away: a control variate, inside every layer. It is a small part of the whole, so that
few samples tell it well, and its standard error is given. Where the samples see beyond chance that the closure has
biased the mean or the slopes, they correct them (``closure``); there the bends of the steps at their linear arguments
(``value.Response``), whose means are known, are taken away as well. Without sampling, ``second_order`` sums the
residuals' covariance over all pairs of elements:

    Cov(residual) = sum over steps of W_l diag(c_l) W_l' + pairs,

with c_l the variance step l adds to each element and the pairs of ``second_order``: exact for one ReLU layer between
two affine ones, and much slower for wide convolutions.

An input with more directions of noise than fit in memory is given random ones: then also the linear variances in front
of the nonlinear steps are estimates, by as many squares as there are directions; W_x Sigma W_x' needs no tangents.
"""

from __future__ import annotations

import torch

from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.budget import BUDGET
from nmcheck.moments.propagation.memory import tangent_elements
from nmcheck.moments.propagation.propagated import Propagated, largest
from nmcheck.moments.propagation.run import Run
from nmcheck.moments.propagation.tangents import Tangents, of_pixels
from nmcheck.steps import (
    Network,
)

SAMPLES = 128
"""Noisy inputs that tell the residuals: their variances to about 1 part in 8."""
MOST_RANDOM, LEAST_RANDOM = 512, 32
"""Random directions: no more than repay their cost, and no fewer than tell a variance at all; nor fewer samples."""


def propagate(
    network: Network,
    x: GaussianInput,
    *,
    samples: int = SAMPLES,
    second_order: bool = False,
    budget: int = BUDGET,
    seed: int = 0,
) -> Propagated:
    """Mean and covariance of the output.

    Args:
        network: the steps.
        x: the input's distribution; its mean in the steps' precision.
        samples: noisy inputs that tell the residuals, at least 2.
        second_order: whether the residuals' covariance is summed over pairs (``second_order``), not sampled. Not with
            random directions, whose correlations are too rough for their squares.
        budget: bytes of tangents held at once; beyond it directions are random.
        seed: of samples and random directions.

    Raises:
        UsageError: ``second_order`` would hold more derivatives at once than the budget has room for.
    """
    if samples < 2:
        raise ValueError("a variance needs at least two samples")
    counts = random_directions(network, x, budget, samples)
    if counts is None:
        run = Run(network, x, _tangents(network, x), x.draws(samples, seed), budget, exact=True)
        return run.paired() if second_order else run.sampled()
    count, samples = counts
    first, second = (
        Run(
            network,
            x,
            _random(network, x, count // 2, 2 * seed + half),
            x.draws(max(2, samples // 2), 2 * seed + half),
            budget,
            exact=False,
        ).sampled()
        for half in (0, 1)
    )
    assert first.variance_error is not None
    assert second.variance_error is not None
    return Propagated(
        # Halved first: the sum of two masked outputs may be too large for a number.
        mean=0.5 * first.mean + 0.5 * second.mean,
        covariance=0.5 * (first.covariance + second.covariance),
        jacobian=0.5 * (first.jacobian + second.jacobian),
        correction=0.5 * (first.correction + second.correction),
        correction_error=0.5 * torch.hypot(first.correction_error, second.correction_error),
        directions=count,
        direction_error=0.5 * (first.mean - second.mean).abs(),
        samples=samples,
        variance_error=0.5 * torch.hypot(first.variance_error, second.variance_error),
        gains={node: 0.5 * (gain + second.gains[node]) for node, gain in first.gains.items()},
        quadrature_error=largest((first.quadrature_error, second.quadrature_error)),
    )


def random_directions(
    network: Network, x: GaussianInput, budget: int = BUDGET, samples: int = SAMPLES
) -> tuple[int, int] | None:
    """How many random directions and samples an input is propagated with; None where a tangent for each direction fits.

    Both are even and, as far as they would not fit the budget, half of it each. They do not fall below
    ``LEAST_RANDOM``, even where that is more than the budget.
    """
    n, size = x.mean.numel(), x.mean.element_size()
    independent = x.structure.deviation(n) is not None
    directions = x.structure.directions(n)
    if size * tangent_elements(network, directions, independent=independent, samples=samples) <= budget:
        return None
    each = size * tangent_elements(network, 1, independent=False)
    # Two halves are propagated one after the other; a sample is held with its linear response.
    fitting = 2 * (budget // (2 * each))
    return max(LEAST_RANDOM, min(MOST_RANDOM, fitting)), min(samples, max(LEAST_RANDOM, 2 * (fitting // 4)))


def _tangents(network: Network, x: GaussianInput) -> Tangents:
    """One for every direction of the noise, or for every color of pixels."""
    shape, n = network.shapes[network.input], x.mean.numel()
    deviation = x.structure.deviation(n)
    if deviation is not None:
        return of_pixels((x.sigma * deviation.to(x.mean)).reshape(shape))
    identity = torch.eye(x.structure.directions(n), dtype=x.mean.dtype, device=x.mean.device)
    return Tangents((x.sigma * x.structure.noise(identity)).reshape(-1, *shape), None)


def _random(network: Network, x: GaussianInput, count: int, seed: int) -> Tangents:
    """Rows with random signs for every direction, whose sum of squares is the variance on average."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (count, x.structure.directions(x.mean.numel())), generator=generator) * 2 - 1
    rows = x.structure.noise(signs.to(x.mean)) * (x.sigma / count**0.5)
    return Tangents(rows.reshape(count, *network.shapes[network.input]), None)
