"""Gaussian noise through a network: forward for means and gates, backward for the covariance of the output.

Forward, every value has a mean, tangents and a few samples (``value``); each step's rule is exact for inputs that are
jointly Gaussian, which behind the first nonlinear step they are only nearly. That closure has no error bound: moments
propagated are estimates. Every output is its closest affine function of the noise and a residual uncorrelated with it,

    Cov = W_x Sigma W_x' + Cov(residual),

with W_x the outputs' derivatives in the input through the averaged slopes, by one pass backward (paths that meet again
in a residual network add up there). The residuals' covariance is that of ``SAMPLES`` noisy inputs, of which the linear
part is known exactly and taken away: a control variate, inside every layer. It is a small part of the whole, so that
few samples tell it well, and its standard error is given. Where the samples see beyond chance that the closure has
biased the mean or the slopes, they correct them (``closure``). Without sampling, ``second_order`` sums it over all
pairs of elements:

    Cov(residual) = sum over steps of W_l diag(c_l) W_l' + pairs,

with c_l the variance step l adds to each element and the pairs of ``second_order``: exact for one ReLU layer between
two affine ones, and much slower for wide convolutions.

An input with more directions of noise than fit in memory is given random ones: then also the linear variances in front
of the nonlinear steps are estimates, by as many squares as there are directions; W_x Sigma W_x' needs no tangents.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.activation import activation
from nmcheck.moments.propagation.closure import mean_correction, mean_is_exact, slope_correction
from nmcheck.moments.propagation.linear import first_order
from nmcheck.moments.propagation.maximum import maximum
from nmcheck.moments.propagation.memory import BUDGET, tangent_elements
from nmcheck.moments.propagation.product import product
from nmcheck.moments.propagation.second_order import Residuals, pair_covariance, residuals_of
from nmcheck.moments.propagation.tangents import Tangents, of_pixels
from nmcheck.moments.propagation.value import Passed, Value
from nmcheck.steps import (
    AffineStep,
    LinearizedStep,
    MaximumStep,
    Network,
    PiecewiseLinearStep,
    ProductStep,
    SmoothStep,
    Step,
)

SAMPLES = 128
"""Noisy inputs that tell the residuals: their variances to about 1 part in 8."""
_HELD = 6
"""Values of the largest size that the way back holds at once, in copies."""
MOST_RANDOM, LEAST_RANDOM = 512, 32
"""Random directions: no more than repay their cost, and no fewer than tell a variance at all; nor fewer samples."""


@dataclass(frozen=True)
class Propagated:
    """Moments of a network's output.

    Attributes:
        mean: of the flattened output.
        covariance: of the flattened output, positive semi-definite.
        jacobian: W_x, the flattened output's derivative in the flattened input, averaged over the noise, corrected.
        correction: what the samples moved the mean by (``closure``), contained in it.
        directions: how many tangents were propagated.
        direction_error: standard error of the mean where those were random, by the difference of two halves; None
            where there was one for every direction of the noise.
        samples: how many noisy inputs told the residuals.
        variance_error: standard error of the variances from those; None where residuals were paired.
        gains: by node, the root mean square of the standard deviations of the node's output over that of the input's,
            for the elementwise steps, whose variances the propagation needs anyway.
    """

    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]
    jacobian: Float[Tensor, "d n"]
    correction: Float[Tensor, " d"]
    directions: int
    direction_error: Float[Tensor, " d"] | None
    samples: int
    variance_error: Float[Tensor, " d"] | None
    gains: dict[str, float]


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
    """
    if samples < 2:
        raise ValueError("a variance needs at least two samples")
    counts = random_directions(network, x, budget, samples)
    if counts is None:
        tangents = _tangents(network, x)
        noise = _samples(x, samples, seed)
        count = x.structure.directions(x.mean.numel())
        return _moments(network, x, tangents, noise, count, budget=budget, second_order=second_order)
    count, samples = counts
    halves = [
        _moments(
            network,
            x,
            _random(network, x, count // 2, 2 * seed + half),
            _samples(x, max(2, samples // 2), 2 * seed + half),
            count,
            budget=budget,
        )
        for half in (0, 1)
    ]
    mean, covariance, jacobian, correction = (
        0.5 * (getattr(halves[0], name) + getattr(halves[1], name))
        for name in ("mean", "covariance", "jacobian", "correction")
    )
    error = 0.5 * (halves[0].mean - halves[1].mean).abs()
    spread = 0.5 * torch.stack([half.variance_error for half in halves if half.variance_error is not None]).norm(dim=0)
    gains = {node: 0.5 * (gain + halves[1].gains[node]) for node, gain in halves[0].gains.items()}
    return Propagated(mean, covariance, jacobian, correction, count, error, samples, spread, gains)


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


def _moments(
    network: Network,
    x: GaussianInput,
    tangents: Tangents,
    noise: Tensor,
    directions: int,
    *,
    budget: int,
    second_order: bool = False,
) -> Propagated:
    residuals: list[Residuals] | None = [] if second_order else None
    output, passed = pass_forward(network, x, tangents, noise, residuals)
    if residuals is None:
        weights, added, slopes = _in_parts(network, output.mean, passed, budget), torch.zeros(()), {}
    else:
        weights, added, slopes = pass_backward(network, output.mean, passed, {one.step for one in residuals})
    jacobian = weights.reshape(len(weights), -1)
    response = x.sigma * x.structure.response(jacobian)
    rest, linear = output.residual().flatten(1), output.linear.flatten(1)
    correction, steeper = torch.zeros_like(rest[0]), torch.zeros_like(rest[0])
    if not mean_is_exact(network):
        correction = mean_correction(output.shift().reshape(-1), rest.mT @ rest / (len(rest) - 1), len(rest))
        if residuals is None:
            steeper = slope_correction(linear, rest, response @ response.mT)
    error = None
    if residuals is None:
        rest = rest - steeper * (linear - linear.mean(dim=0))
        added = rest.mT @ rest / (len(rest) - 1)
        error = added.diagonal() * (2.0 / (len(rest) - 1)) ** 0.5
    elif residuals:
        added = added + pair_covariance(residuals, slopes)
    jacobian, response = ((1.0 + steeper[:, None]) * one for one in (jacobian, response))
    return Propagated(
        mean=output.mean.reshape(-1) + correction,
        covariance=response @ response.mT + added,
        jacobian=jacobian,
        correction=correction,
        directions=directions,
        direction_error=None,
        samples=len(noise),
        variance_error=error,
        gains=_gains(x, passed),
    )


@torch.no_grad()
def _gains(x: GaussianInput, passed: Sequence[tuple[Step, Passed]]) -> dict[str, float]:
    noise = float(_input_variance(x))
    known = [(step.node, found.variance) for step, found in passed if found.variance is not None]
    return {node: (float(variance.mean()) / noise) ** 0.5 for node, variance in known} if noise > 0 else {}


def _input_variance(x: GaussianInput) -> Tensor:
    """Mean variance of the input's elements."""
    n = x.mean.numel()
    deviation = x.structure.deviation(n)
    if deviation is not None:
        return (x.sigma * deviation.to(x.mean)).square().mean()
    identity = torch.eye(x.structure.directions(n), dtype=x.mean.dtype, device=x.mean.device)
    return (x.sigma * x.structure.noise(identity)).square().sum() / n


def _tangents(network: Network, x: GaussianInput) -> Tangents:
    """One for every direction of the noise, or for every color of pixels."""
    shape, n = network.shapes[network.input], x.mean.numel()
    deviation = x.structure.deviation(n)
    if deviation is not None:
        return of_pixels((x.sigma * deviation.to(x.mean)).reshape(shape))
    identity = torch.eye(x.structure.directions(n), dtype=x.mean.dtype, device=x.mean.device)
    return Tangents((x.sigma * x.structure.noise(identity)).reshape(-1, *shape), None)


def _samples(x: GaussianInput, count: int, seed: int) -> Tensor:
    """Noise of the input, a row a sample."""
    generator = torch.Generator().manual_seed(seed)
    normals = torch.randn(count, x.structure.directions(x.mean.numel()), generator=generator, dtype=torch.float64)
    return x.sigma * x.structure.noise(normals.to(x.mean))


def _random(network: Network, x: GaussianInput, count: int, seed: int) -> Tangents:
    """Rows with random signs for every direction, whose sum of squares is the variance on average."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (count, x.structure.directions(x.mean.numel())), generator=generator) * 2 - 1
    rows = x.structure.noise(signs.to(x.mean)) * (x.sigma / count**0.5)
    return Tangents(rows.reshape(count, *network.shapes[network.input]), None)


def pass_forward(
    network: Network, x: GaussianInput, tangents: Tangents, samples: Tensor, residuals: list[Residuals] | None = None
) -> tuple[Value, list[tuple[Step, Passed]]]:
    """The output's mean, and what each step left for the way back. Values are forgotten after their last use.

    Args:
        network: the steps.
        x: the input's distribution.
        tangents: the input's.
        samples: noise of the input, a row each.
        residuals: filled with those worth pairing, if given.
    """
    mean = x.mean.reshape(network.shapes[network.input])
    response = samples.reshape(-1, *mean.shape)
    values = {network.input: Value(mean, tangents, response, mean + response)}
    last = {name: position for position, step in enumerate(network.steps) for name in step.inputs}
    passed: list[tuple[Step, Passed]] = []
    for position, step in enumerate(network.steps):
        found = pass_step(step, [values[name] for name in step.inputs])
        values.update({name: value for name, value in zip(step.outputs, found.outputs, strict=True) if name})
        if residuals is not None:
            residuals += [one for bend in found.bends if (one := residuals_of(bend, position)) is not None]
        passed.append((step, Passed((), found.pull, found.injected, found.variance)))
        for name in step.inputs:
            if last[name] == position and name != network.output:
                values.pop(name, None)
    return values[network.output], passed


def _in_parts(
    network: Network, mean: Tensor, passed: Sequence[tuple[Step, Passed]], budget: int
) -> Float[Tensor, "d ..."]:
    """Derivatives of the output in the input, a few elements of the output at a time.

    A thousand classes times the largest value of a large network would not fit in memory.
    """
    largest = max(prod(shape) for shape in network.shapes.values())
    rows = max(1, budget // (_HELD * largest * mean.element_size()))
    seed = torch.eye(mean.numel(), dtype=mean.dtype, device=mean.device)
    parts = [pass_backward(network, mean, passed, seed=part)[0] for part in seed.split(rows)]
    return torch.cat(parts)


def pass_backward(
    network: Network,
    mean: Tensor,
    passed: Sequence[tuple[Step, Passed]],
    kept: AbstractSet[int] = frozenset(),
    seed: Float[Tensor, "d outputs"] | None = None,
) -> tuple[Float[Tensor, "d ..."], Float[Tensor, "d d"], dict[int, Tensor]]:
    """Derivatives of the flattened output in the input, and the covariance of what the steps added.

    Args:
        network: the steps.
        mean: the output's.
        passed: what the steps left on the way forward.
        kept: numbers of the steps whose first output's derivatives are wanted, too.
        seed: combinations of the flattened output's elements to take derivatives of; every element if not given.

    Returns:
        The derivatives in the input, the covariance, and the derivatives in the kept steps' outputs.
    """
    if seed is None:
        seed = torch.eye(mean.numel(), dtype=mean.dtype, device=mean.device)
    d = len(seed)
    seed = seed.reshape(d, *mean.shape)
    cotangents: dict[str, Tensor] = {network.output: seed}
    covariance = torch.zeros(d, d, dtype=mean.dtype, device=mean.device)
    slopes: dict[int, Tensor] = {}
    for position, (step, found) in reversed(list(enumerate(passed))):
        present = [cotangents.pop(name, None) for name in step.outputs]
        if all(one is None for one in present):
            if position in kept:
                slopes[position] = seed.new_zeros(d, *network.shapes[step.outputs[0]])
            continue
        given = tuple(
            seed.new_zeros(d, *network.shapes[name]) if one is None else one
            for name, one in zip(step.outputs, present, strict=True)
        )
        if position in kept:
            slopes[position] = given[0]
        if found.injected is not None:
            weights = given[0].reshape(d, -1)
            covariance = covariance + (weights * found.injected.reshape(-1)) @ weights.mT
        for name, one in zip(step.inputs, found.pull(given), strict=True):
            cotangents[name] = cotangents[name] + one if name in cotangents else one
    return cotangents.get(network.input, seed.new_zeros(d, *network.shapes[network.input])), covariance, slopes


def pass_step(step: Step, values: Sequence[Value]) -> Passed:
    """One step by the rule of its kind."""
    match step:
        case AffineStep() | LinearizedStep():
            return first_order(step, values)
        case PiecewiseLinearStep() | SmoothStep():
            return activation(step, values[0])
        case MaximumStep():
            return maximum(step, values)
        case ProductStep():
            return product(step, values)
        case _:
            raise TypeError(f"no rule for a {type(step).__name__}")
