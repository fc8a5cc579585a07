"""Gaussian noise through a network: forward for means and gates, backward for the covariance of the output.

Forward, every value has a mean, tangents and a nugget (``value``); each step's rule is exact for inputs that are
jointly Gaussian, which behind the first nonlinear step they are only nearly. That closure is the one approximation, and
it has no error bound: moments propagated are estimates. Backward, the outputs' derivatives W through the averaged
slopes give the covariance as

    Cov = W_x Sigma W_x' + sum over steps of W_l diag(c_l) W_l',

with W_x for the input and c_l the variance step l adds. Where paths meet again (residual networks), the sum over paths
in W_l has every covariance between them right (formulas.md, section c).

An input with more directions of noise than fit in memory is given random ones: then only the variances in front of the
nonlinear steps are estimates, by as many squares as there are directions; W_x Sigma W_x' needs no tangents.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.activation import activation
from nmcheck.moments.propagation.linear import affine, linearized
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

MOST_RANDOM, LEAST_RANDOM = 512, 32
"""Random directions: no more than repay their cost, and no fewer than tell a variance at all."""


@dataclass(frozen=True)
class Propagated:
    """Moments of a network's output.

    Attributes:
        mean: of the flattened output.
        covariance: of the flattened output, positive semi-definite.
        jacobian: W_x, the flattened output's derivative in the flattened input, averaged over the noise.
        directions: how many tangents were propagated.
        direction_error: standard error of the mean where those were random, by the difference of two halves; None
            where there was one for every direction of the noise.
        second_order: whether the covariance has what residuals of different elements share.
        gains: by node, the root mean square of the standard deviations of the node's output over that of the input's,
            for the elementwise steps, whose variances the propagation needs anyway.
    """

    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]
    jacobian: Float[Tensor, "d n"]
    directions: int
    direction_error: Float[Tensor, " d"] | None
    second_order: bool
    gains: dict[str, float]


def propagate(
    network: Network, x: GaussianInput, *, second_order: bool = False, budget: int = BUDGET, seed: int = 0
) -> Propagated:
    """Mean and covariance of the output.

    Args:
        network: the steps.
        x: the input's distribution; its mean in the steps' precision.
        second_order: whether the covariance has what residuals of different elements share (``second_order``). Not
            with random directions, whose correlations are too rough for their squares.
        budget: bytes of tangents held at once; beyond it directions are random.
        seed: of random directions.
    """
    count = random_directions(network, x, budget)
    if count is None:
        tangents = _tangents(network, x)
        return _moments(network, x, tangents, x.structure.directions(x.mean.numel()), second_order=second_order)
    halves = [_moments(network, x, _random(network, x, count // 2, 2 * seed + half), count) for half in (0, 1)]
    mean, covariance, jacobian = (
        0.5 * (getattr(halves[0], name) + getattr(halves[1], name)) for name in ("mean", "covariance", "jacobian")
    )
    error = 0.5 * (halves[0].mean - halves[1].mean).abs()
    gains = {node: 0.5 * (gain + halves[1].gains[node]) for node, gain in halves[0].gains.items()}
    return Propagated(mean, covariance, jacobian, count, error, False, gains)


def random_directions(network: Network, x: GaussianInput, budget: int = BUDGET) -> int | None:
    """How many random directions an input is propagated with; None where a tangent for each direction fits.

    An even number, at most ``MOST_RANDOM``; it can fall below what fits the budget only down to ``LEAST_RANDOM``.
    """
    n = x.mean.numel()
    size = x.mean.element_size()
    independent = x.structure.deviation(n) is not None
    if size * tangent_elements(network, x.structure.directions(n), independent=independent) <= budget:
        return None
    each = size * tangent_elements(network, 1, independent=False)
    # The halves are propagated one after the other.
    return 2 * max(LEAST_RANDOM // 2, min(MOST_RANDOM // 2, budget // each))


def _moments(
    network: Network, x: GaussianInput, tangents: Tangents, directions: int, *, second_order: bool = False
) -> Propagated:
    residuals: list[Residuals] | None = [] if second_order else None
    mean, passed = pass_forward(network, x, tangents, residuals)
    weights, added, slopes = pass_backward(network, mean, passed, {one.step for one in residuals or ()})
    jacobian = weights.reshape(len(weights), -1)
    response = x.sigma * x.structure.response(jacobian)
    covariance = response @ response.mT + added
    if residuals:
        covariance = covariance + pair_covariance(residuals, slopes)
    noise = _input_variance(x)
    gains = {
        step.node: float((found.variance.mean() / noise).sqrt())
        for step, found in passed
        if found.variance is not None and float(noise) > 0
    }
    return Propagated(mean.reshape(-1), covariance, jacobian, directions, None, second_order, gains)


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


def _random(network: Network, x: GaussianInput, count: int, seed: int) -> Tangents:
    """Rows with random signs for every direction, whose sum of squares is the variance on average."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (count, x.structure.directions(x.mean.numel())), generator=generator) * 2 - 1
    rows = x.structure.noise(signs.to(x.mean)) * (x.sigma / count**0.5)
    return Tangents(rows.reshape(count, *network.shapes[network.input]), None)


def pass_forward(
    network: Network, x: GaussianInput, tangents: Tangents, residuals: list[Residuals] | None = None
) -> tuple[Tensor, list[tuple[Step, Passed]]]:
    """The output's mean, and what each step left for the way back. Values are forgotten after their last use.

    Args:
        network: the steps.
        x: the input's distribution.
        tangents: the input's.
        residuals: filled with those worth pairing, if given.
    """
    mean = x.mean.reshape(network.shapes[network.input])
    values = {network.input: Value(mean, tangents, torch.zeros_like(mean))}
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
    return values[network.output].mean, passed


def pass_backward(
    network: Network, mean: Tensor, passed: Sequence[tuple[Step, Passed]], kept: AbstractSet[int] = frozenset()
) -> tuple[Float[Tensor, "d ..."], Float[Tensor, "d d"], dict[int, Tensor]]:
    """Derivatives of the flattened output in the input, and the covariance of what the steps added.

    Args:
        network: the steps.
        mean: the output's.
        passed: what the steps left on the way forward.
        kept: numbers of the steps whose first output's derivatives are wanted, too.

    Returns:
        The derivatives in the input, the covariance, and the derivatives in the kept steps' outputs.
    """
    d = mean.numel()
    seed = torch.eye(d, dtype=mean.dtype, device=mean.device).reshape(d, *mean.shape)
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
        case AffineStep():
            return affine(step, values)
        case PiecewiseLinearStep() | SmoothStep():
            return activation(step, values[0])
        case MaximumStep():
            return maximum(step, values)
        case ProductStep():
            return product(step, values)
        case LinearizedStep():
            return linearized(step, values)
        case _:
            raise TypeError(f"no rule for a {type(step).__name__}")
