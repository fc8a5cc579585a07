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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.errors import UsageError
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.activation import activation
from nmcheck.moments.propagation.closure import mean_correction, mean_is_exact, slope_correction
from nmcheck.moments.propagation.linear import first_order
from nmcheck.moments.propagation.maximum import maximum
from nmcheck.moments.propagation.memory import BUDGET, tangent_elements
from nmcheck.moments.propagation.product import product
from nmcheck.moments.propagation.second_order import Residuals, pair_covariance, residuals_of
from nmcheck.moments.propagation.surrogate import Surrogate
from nmcheck.moments.propagation.tangents import Tangents, of_pixels
from nmcheck.moments.propagation.value import Bends, Passed, Response, Value
from nmcheck.moments.relu import deviation
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
        correction_error: standard error of the samples' own mean, of which the correction is the part worth believing;
            0 where the propagated mean is exact.
        directions: how many tangents were propagated.
        direction_error: standard error of the mean where those were random, by the difference of two halves; None
            where there was one for every direction of the noise.
        samples: how many noisy inputs told the residuals.
        variance_error: standard error of the variances from those; None where residuals were paired.
        gains: by node, the root mean square of the standard deviations of the node's output over that of the input's,
            for the elementwise steps, whose variances the propagation needs anyway.
        surrogate: the network's response with known mean; None for random directions, by which no mean is known.
    """

    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]
    jacobian: Float[Tensor, "d n"]
    correction: Float[Tensor, " d"]
    correction_error: Float[Tensor, " d"]
    directions: int
    direction_error: Float[Tensor, " d"] | None
    samples: int
    variance_error: Float[Tensor, " d"] | None
    gains: dict[str, float]
    surrogate: Surrogate | None = field(repr=False)


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
        run = _Run(network, x, _tangents(network, x), x.draws(samples, seed), budget, exact=True)
        return run.paired() if second_order else run.sampled()
    count, samples = counts
    first, second = (
        _Run(
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
        mean=0.5 * (first.mean + second.mean),
        covariance=0.5 * (first.covariance + second.covariance),
        jacobian=0.5 * (first.jacobian + second.jacobian),
        correction=0.5 * (first.correction + second.correction),
        correction_error=0.5 * torch.hypot(first.correction_error, second.correction_error),
        directions=count,
        direction_error=0.5 * (first.mean - second.mean).abs(),
        samples=samples,
        variance_error=0.5 * torch.hypot(first.variance_error, second.variance_error),
        gains={node: 0.5 * (gain + second.gains[node]) for node, gain in first.gains.items()},
        surrogate=None,
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


class _Run:
    """One way there and back, with the residuals sampled or paired.

    Args:
        network: the steps.
        x: the input's distribution.
        tangents: the input's.
        noise: of the samples, a row each.
        budget: bytes held at once.
        exact: whether the tangents' squares sum to the variances exactly, so that bends have known means.
    """

    def __init__(
        self, network: Network, x: GaussianInput, tangents: Tangents, noise: Tensor, budget: int, *, exact: bool
    ) -> None:
        self._network, self._x, self._budget, self._exact = network, x, budget, exact
        self._tangents, self._noise = tangents, noise

    def sampled(self) -> Propagated:
        """The residuals' covariance is that of the samples."""
        output, passed = self._forward()
        jacobian = self._in_parts(output.mean, passed)
        response = self._x.sigma * self._x.structure.response(jacobian)
        linear, (rest, unexplained) = output.response.linear.flatten(1), _rests(output)
        correction, error = self._correction(output, unexplained)
        steeper, doubt = torch.zeros_like(correction), torch.zeros_like(correction)
        if not mean_is_exact(self._network):
            steeper, doubt = slope_correction(linear, unexplained - unexplained.mean(dim=0), response @ response.mT)
        rest = rest - steeper * (linear - linear.mean(dim=0))
        added = rest.mT @ rest / (len(rest) - 1)
        by_slopes = 2.0 * (1.0 + steeper).abs() * response.square().sum(dim=1) * doubt
        response = (1.0 + steeper[:, None]) * response
        return self._propagated(
            passed,
            mean=output.mean.reshape(-1) + correction,
            covariance=response @ response.mT + added,
            jacobian=(1.0 + steeper[:, None]) * jacobian,
            correction=correction,
            correction_error=error,
            variance_error=torch.hypot(added.diagonal() * (2.0 / (len(rest) - 1)) ** 0.5, by_slopes),
        )

    def paired(self) -> Propagated:
        """The residuals' covariance is summed over pairs of elements."""
        largest = max(prod(shape) for shape in self._network.shapes.values())
        outputs, size = prod(self._network.shapes[self._network.output]), self._x.mean.element_size()
        needed = size * outputs * max(_HELD * largest, sum(prod(shape) for shape in self._network.shapes.values()))
        if needed > self._budget:
            raise UsageError(
                f"second order needs the derivatives of all {outputs} outputs in every value at once, "
                f"{needed / 2**30:.1f} GiB of {self._budget / 2**30:.1f}; leave --second-order out: samples then tell "
                "the same part of the covariance."
            )
        residuals: list[Residuals] = []
        output, passed = self._forward(residuals)
        kept, slopes = {one.step for one in residuals}, dict[int, Tensor]()
        injected: list[Tensor] = []

        def visit(position: int, cotangent: Tensor) -> None:
            weights, variance = cotangent.flatten(1), passed[position][1].injected
            if variance is not None:
                injected.append((weights * variance.reshape(-1)) @ weights.mT)
            if position in kept:
                slopes[position] = cotangent

        jacobian = pass_backward(self._network, output.mean, passed, visit=visit).flatten(1)
        response = self._x.sigma * self._x.structure.response(jacobian)
        covariance = sum(injected, response @ response.mT)
        if residuals:
            covariance = covariance + pair_covariance(residuals, slopes)
        correction, error = self._correction(output, _rests(output)[1])
        return self._propagated(
            passed,
            mean=output.mean.reshape(-1) + correction,
            covariance=covariance,
            jacobian=jacobian,
            correction=correction,
            correction_error=error,
            variance_error=None,
        )

    def _forward(self, residuals: list[Residuals] | None = None) -> tuple[Value, list[tuple[Step, Passed]]]:
        return pass_forward(self._network, self._x, self._tangents, self._noise, residuals, bends=self._exact)

    def _correction(self, output: Value, unexplained: Float[Tensor, "m d"]) -> tuple[Tensor, Tensor]:
        """What the samples move the mean by, and the standard error of their own mean."""
        if mean_is_exact(self._network):
            return torch.zeros_like(unexplained[0]), torch.zeros_like(unexplained[0])
        count, mean = len(unexplained), unexplained.mean(dim=0)
        spread = (unexplained - mean).mT @ (unexplained - mean) / (count - 1)
        return (
            mean_correction(mean - output.mean.reshape(-1), spread, count),
            deviation(spread.diagonal() / count),
        )

    def _in_parts(self, mean: Tensor, passed: Sequence[tuple[Step, Passed]]) -> Float[Tensor, "d n"]:
        """Derivatives of the output in the input, a few elements of the output at a time.

        A thousand classes times the largest value of a large network would not fit in memory.
        """
        largest = max(prod(shape) for shape in self._network.shapes.values())
        rows = max(1, self._budget // (_HELD * largest * mean.element_size()))
        seed = torch.eye(mean.numel(), dtype=mean.dtype, device=mean.device)
        parts = [pass_backward(self._network, mean, passed, part).flatten(1) for part in seed.split(rows)]
        return torch.cat(parts)

    def _propagated(
        self,
        passed: Sequence[tuple[Step, Passed]],
        *,
        mean: Tensor,
        covariance: Tensor,
        jacobian: Tensor,
        correction: Tensor,
        correction_error: Tensor,
        variance_error: Tensor | None,
    ) -> Propagated:
        return Propagated(
            mean=mean,
            covariance=covariance,
            jacobian=jacobian,
            correction=correction,
            correction_error=correction_error,
            directions=self._x.structure.directions(self._x.mean.numel()),
            direction_error=None,
            samples=len(self._noise),
            variance_error=variance_error,
            gains=_gains(self._x, passed),
            surrogate=Surrogate(self._network, [(step, one.respond) for step, one in passed]) if self._exact else None,
        )


def _rests(output: Value) -> tuple[Float[Tensor, "m d"], Float[Tensor, "m d"]]:
    """Of every sample's output: what the linear response leaves, less its mean; and what the whole response leaves.

    As much of an output's bend is taken away as explains most of the rest (least squares): about all of it where noise
    is small, and less where layers bend what is bent already.
    """
    rest = output.residual().flatten(1)
    unexplained = (output.actual - output.response.linear).flatten(1)
    if output.response.bend is None:
        return rest, unexplained
    bend = output.response.bend.flatten(1)
    centered = bend - bend.mean(dim=0)
    square = centered.square().sum(dim=0)
    share = torch.where(square > 0, (rest * centered).sum(dim=0) / torch.where(square > 0, square, 1.0), 0.0)
    return rest, unexplained - share * bend


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


def _random(network: Network, x: GaussianInput, count: int, seed: int) -> Tangents:
    """Rows with random signs for every direction, whose sum of squares is the variance on average."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (count, x.structure.directions(x.mean.numel())), generator=generator) * 2 - 1
    rows = x.structure.noise(signs.to(x.mean)) * (x.sigma / count**0.5)
    return Tangents(rows.reshape(count, *network.shapes[network.input]), None)


def pass_forward(
    network: Network,
    x: GaussianInput,
    tangents: Tangents,
    samples: Tensor,
    residuals: list[Residuals] | None = None,
    *,
    bends: bool = True,
) -> tuple[Value, list[tuple[Step, Passed]]]:
    """The output's mean, and what each step left for the way back. Values are forgotten after their last use.

    Args:
        network: the steps.
        x: the input's distribution.
        tangents: the input's.
        samples: noise of the input, a row each.
        residuals: filled with those worth pairing, if given.
        bends: whether the samples' bends are followed; they mean something if the tangents' squares sum to variances.
    """
    mean = x.mean.reshape(network.shapes[network.input])
    noise = samples.reshape(-1, *mean.shape)
    response = Response(noise, Bends.SINGLE if bends else Bends.NONE)
    values = {network.input: Value(mean, tangents, response, mean + noise)}
    last = {name: position for position, step in enumerate(network.steps) for name in step.inputs}
    passed: list[tuple[Step, Passed]] = []
    for position, step in enumerate(network.steps):
        found = pass_step(step, [values[name] for name in step.inputs])
        values.update({name: value for name, value in zip(step.outputs, found.outputs, strict=True) if name})
        if residuals is not None:
            residuals += [one for bend in found.bends if (one := residuals_of(bend, position)) is not None]
        passed.append((step, Passed((), found.pull, found.respond, found.injected, found.variance)))
        for name in step.inputs:
            if last[name] == position and name != network.output:
                values.pop(name, None)
    return values[network.output], passed


def pass_backward(
    network: Network,
    mean: Tensor,
    passed: Sequence[tuple[Step, Passed]],
    seed: Float[Tensor, "d outputs"] | None = None,
    visit: Callable[[int, Tensor], None] | None = None,
) -> Float[Tensor, "d ..."]:
    """Derivatives of the flattened output in the input.

    Args:
        network: the steps.
        mean: the output's.
        passed: what the steps left on the way forward.
        seed: combinations of the flattened output's elements to take derivatives of; every element if not given.
        visit: told of every step that the output depends on, by its number, with the derivatives in its first output.
    """
    if seed is None:
        seed = torch.eye(mean.numel(), dtype=mean.dtype, device=mean.device)
    d = len(seed)
    seed = seed.reshape(d, *mean.shape)
    cotangents: dict[str, Tensor] = {network.output: seed}
    for position, (step, found) in reversed(list(enumerate(passed))):
        present = [cotangents.pop(name, None) for name in step.outputs]
        if all(one is None for one in present):
            continue
        given = tuple(
            seed.new_zeros(d, *network.shapes[name]) if one is None else one
            for name, one in zip(step.outputs, present, strict=True)
        )
        if visit is not None:
            visit(position, given[0])
        for name, one in zip(step.inputs, found.pull(given), strict=True):
            cotangents[name] = cotangents[name] + one if name in cotangents else one
    return cotangents.get(network.input, seed.new_zeros(d, *network.shapes[network.input]))


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
