"""Elementwise functions of a Gaussian: mean, mean slope, and the variance that the slope leaves over.

For y = f(x), x ~ N(mu, s^2), the closest affine function of x in the mean square is E f + g (x - mu) with the gate
g = E f'(x) (Stein). What it leaves over, Var f - g^2 s^2, is uncorrelated with everything jointly Gaussian with x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nmcheck.moments.normal import normal_cdf, relu_of_shifted_normal
from nmcheck.moments.propagation.harmonic import harmonic_derivatives, harmonic_excess
from nmcheck.moments.propagation.quadrature import averages
from nmcheck.moments.relu import standardized
from nmcheck.steps import PiecewiseLinearStep, SmoothStep

TOLERANCE = 1e-5
"""Stated error of a mean beyond which more points are taken, in units of the output's own standard deviation."""
SLOPE_TOLERANCE = 1e-3
"""The same of a mean slope times the input's standard deviation, in the same units. It moves no mean: what a slope does
not explain is in the excess."""
LEAST = 1e-6
"""No error by quadrature is stated to be less, in the same units: estimates of errors are no better, and tails beyond
the outermost points are neglected."""
_ROUNDINGS = 16.0


@dataclass(frozen=True)
class Moments:
    """What an elementwise function makes of its input's Gaussians.

    Attributes:
        mean: E f.
        gate: E f', what every tangent is multiplied by.
        excess: Var f - gate^2 s^2.
        error: by how much the mean may be off, rounding aside; 0 where it is exact.
    """

    mean: Tensor
    gate: Tensor
    excess: Tensor
    error: Tensor


def piecewise_linear(step: PiecewiseLinearStep, mean: Tensor, sd: Tensor) -> Moments:
    """Exact for f(x) = f(mu) on a line of slope a, plus jumps d_k relu(x - t_k).

    With m_k = (mu - t_k)/s: E f = f(mu) + sum_k d_k s h(-|m_k|); g = a + sum_k d_k Phi(m_k); and the excess is
    s^2 sum_jk d_j d_k (Phi(a) Phi(-b) - h(a) h(-b)), a = min(m_j, m_k), b = max(m_j, m_k): the covariance of two ReLUs
    of the same variable less what their gates explain (``moments.kernel`` at rho = 1).
    """
    kinks = [standardized(mean - kink, sd) for kink in step.kinks]
    gate = slope = torch.zeros_like(mean) + step.slope
    for kink, jump in zip(step.kinks, step.jumps, strict=True):
        slope = slope + jump * (mean > kink).to(mean)
    # f(mu) with, at a kink, the derivative from the left, whatever torch takes there: the other terms count on it.
    value = step.function(mean.detach()) + slope * (mean - mean.detach())
    excess = torch.zeros_like(mean)
    for index, (m, jump) in enumerate(zip(kinks, step.jumps, strict=True)):
        value = value + jump * sd * relu_of_shifted_normal(-_magnitude(m))
        gate = gate + jump * normal_cdf(m)
        excess = excess + jump * jump * _shared(m, m)
        # Kinks stand in ascending order, so the later one has the smaller m.
        for other, second in zip(kinks[:index], step.jumps[:index], strict=True):
            excess = excess + 2.0 * jump * second * _shared(m, other)
    return Moments(value, gate, sd**2 * excess.clamp(min=0.0), torch.zeros_like(mean))


def smooth(step: SmoothStep, mean: Tensor, sd: Tensor) -> Moments:
    """By quadrature, to ``TOLERANCE``; exactly for functions with f'' = f or -f.

    The excess is the mean square of f - E f - g (x - mu), which cannot be negative.
    """
    if step.harmonic is not None:
        value, gate = harmonic_derivatives(step.function, step.harmonic, mean, sd)
        excess = harmonic_excess(step.function, step.harmonic, mean, sd)
        return Moments(value.to(mean), gate.to(mean), excess.to(mean), torch.zeros_like(mean))

    def terms(mean: Tensor, sd: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        f, slope = _with_slope(step.function, mean + sd * z)
        rise = f - step.function(mean)
        return rise, rise**2, z * rise, slope

    def settled(values: Tensor, errors: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
        spread, rounding = _spread(values), _rounding(step, mean, sd)
        slopes = _slope_error(values, errors, sd) <= SLOPE_TOLERANCE * spread + rounding
        return slopes & (_mean_error(values, errors) <= TOLERANCE * spread + rounding)

    values, errors = averages(terms, mean, sd, step.kinks, settled)
    (rise, square, cross, gate), wide = values, sd.double()
    # E (r - v - g s z)^2 with r = f - f(mu), v = E r, E z = 0, E z^2 = 1.
    excess = square - rise**2 - 2.0 * gate * wide * cross + (gate * wide) ** 2
    error = _stated(step, values.detach(), errors, mean.detach().double(), wide.detach())
    center = step.function(mean.double())
    return Moments((center + rise).to(mean), gate.to(mean), excess.clamp(min=0.0).to(mean), error.to(mean))


def _with_slope(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.func.jvp(function, (x,), (torch.ones_like(x),))[:2]


def _spread(values: Tensor) -> Tensor:
    """The output's standard deviation, from the averages of ``smooth``."""
    return (values[1] - values[0] ** 2).clamp(min=0.0).sqrt()


def _mean_error(values: Tensor, errors: Tensor) -> Tensor:
    """Of E r: by itself, by E z r, and by E r^2, which is off by 2 sqrt(E r^2) times as much.

    An error that is small by chance is so in one of them only.
    """
    size = values[1].sqrt()
    return torch.maximum(torch.maximum(errors[0], errors[2]), errors[1] / torch.where(size > 0, 2.0 * size, 1.0))


def _slope_error(values: Tensor, errors: Tensor, sd: Tensor) -> Tensor:
    """Of sd E f', by itself and by E z f, which are the same (Stein): points that miss what f does find them apart."""
    return torch.maximum(errors[3] * sd, (values[3] * sd - values[2]).abs())


def _stated(step: SmoothStep, values: Tensor, errors: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """The mean's error. Where slopes are wrong, points are too few for anything: then it is theirs."""
    spread, rounding = _spread(values), _rounding(step, mean, sd)
    error, slopes = _mean_error(values, errors), _slope_error(values, errors, sd)
    error = torch.where(slopes > SLOPE_TOLERANCE * spread + rounding, torch.maximum(error, slopes), error)
    return torch.where(error > rounding, error, 0.0) + LEAST * spread


def _rounding(step: SmoothStep, mean: Tensor, sd: Tensor) -> Tensor:
    """Differences of averages that say nothing."""
    return _ROUNDINGS * torch.finfo(torch.float64).eps * (step.function(mean).abs() + mean.abs() + sd)


def _shared(a: Tensor, b: Tensor) -> Tensor:
    """Cov(relu, relu)/s^2 at rho = 1 less Phi(a) Phi(b), for a <= b."""
    return normal_cdf(a) * normal_cdf(-b) - relu_of_shifted_normal(a) * relu_of_shifted_normal(-b)


def _magnitude(m: Tensor) -> Tensor:
    """|m|, with the derivative 1 at 0, which the other terms of a mean are written for."""
    return torch.where(m > 0, m, -m)
