"""One way through a network and back: from tangents and samples of the input to the moments of the output."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nmcheck.errors import UsageError
from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.propagation.closure import mean_correction, mean_is_exact, slope_correction
from nmcheck.moments.propagation.passes import pass_backward, pass_forward
from nmcheck.moments.propagation.propagated import Propagated, largest
from nmcheck.moments.propagation.second_order import Residuals, pair_covariance
from nmcheck.moments.propagation.tangents import Tangents
from nmcheck.moments.propagation.value import Passed, Value, centered
from nmcheck.moments.relu import deviation
from nmcheck.steps import Network, Step

_HELD = 6
"""Values of the largest size that the way back holds at once, in copies."""
_BLURRED = 0.01
"""Rounding of an output, over its deviation, from which on its samples say nothing about what corrects it."""


class Run:
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
        clear = _clear(output.mean, response)
        correction, error = self._correction(unexplained, clear)
        steeper, doubt = torch.zeros_like(correction), torch.zeros_like(correction)
        if not mean_is_exact(self._network):
            steady = response * clear[:, None]
            steeper, doubt = slope_correction(linear, centered(unexplained), steady @ steady.mT)
        rest = rest - steeper * centered(linear)
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
                f"{needed / 2**20:,.0f} MiB of {self._budget / 2**20:,.0f}; leave --second-order out: samples then "
                "tell the same part of the covariance."
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
        correction, error = self._correction(_rests(output)[1], _clear(output.mean, response))
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

    def _correction(self, unexplained: Float[Tensor, "m d"], clear: Bool[Tensor, " d"]) -> tuple[Tensor, Tensor]:
        """What the samples move the mean by, and the standard error of their own mean; 0 where they are not clear."""
        if mean_is_exact(self._network):
            return torch.zeros_like(unexplained[0]), torch.zeros_like(unexplained[0])
        unexplained = torch.where(clear, unexplained, 0.0)
        count, apart = len(unexplained), centered(unexplained)
        spread = apart.mT @ apart / (count - 1)
        shift = unexplained.mean(dim=0)
        return mean_correction(shift, spread, count), deviation(spread.diagonal() / count)

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
            quadrature_error=largest(one.quadrature_error for _, one in passed),
        )


def _rests(output: Value) -> tuple[Float[Tensor, "m d"], Float[Tensor, "m d"]]:
    """Of every sample's output: what the linear response leaves, less its mean; and what the whole response leaves.

    The latter is taken from the propagated mean, so that its own mean is what that is off by.

    As much of an output's bend is taken away as explains most of the rest (least squares): about all of it where noise
    is small, and less where layers bend what is bent already.
    """
    rest = output.residual().flatten(1)
    unexplained = (output.actual - output.response.linear - output.mean).flatten(1)
    if output.response.bend is None:
        return rest, unexplained
    bend = output.response.bend.flatten(1)
    moving = centered(bend)
    square = moving.square().sum(dim=0)
    share = torch.where(square > 0, (rest * moving).sum(dim=0) / torch.where(square > 0, square, 1.0), 0.0)
    return rest, unexplained - share * bend


def _clear(mean: Tensor, response: Float[Tensor, "d n"]) -> Bool[Tensor, " d"]:
    """Which outputs move by much more than their rounding: a class masked by a huge constant does not.

    Corrections are estimated from all outputs together: one that is only rounding would spoil those of the others.
    """
    rounding = torch.finfo(mean.dtype).eps * mean.reshape(-1).abs()
    return rounding <= _BLURRED * response.norm(dim=1)


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
