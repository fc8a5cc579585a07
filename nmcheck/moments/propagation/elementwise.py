"""Elementwise functions of a Gaussian: mean, mean slope, and the variance that the slope leaves over.

For y = f(x), x ~ N(mu, s^2), the closest affine function of x in the mean square is E f + g (x - mu) with the gate
g = E f'(x) (Stein). What it leaves over, Var f - g^2 s^2, is uncorrelated with everything jointly Gaussian with x.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nmcheck.moments.normal import normal_cdf, relu_of_shifted_normal
from nmcheck.moments.propagation.quadrature import points
from nmcheck.moments.relu import standardized
from nmcheck.steps import PiecewiseLinearStep, SmoothStep


@dataclass(frozen=True)
class Moments:
    """What an elementwise function makes of its input's Gaussians.

    Attributes:
        mean: E f.
        gate: E f', what every tangent is multiplied by.
        excess: Var f - gate^2 s^2.
    """

    mean: Tensor
    gate: Tensor
    excess: Tensor


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
    return Moments(value, gate, sd**2 * excess.clamp(min=0.0))


def smooth(step: SmoothStep, mean: Tensor, sd: Tensor) -> Moments:
    """By quadrature between the kinks (``quadrature``, which says how accurate it is).

    The excess is the mean square of f - E f - g (x - mu), which cannot be negative.
    """
    value = gate = square = cross = torch.zeros_like(mean)
    center = step.function(mean)
    for z, weight in points(mean, sd, step.kinks):
        x = mean + sd * z
        f, slope = torch.func.jvp(step.function, (x,), (torch.ones_like(x),))[:2]
        rise = f - center
        value, gate = value + weight * rise, gate + weight * slope
        square = square + weight * rise**2
        cross = cross + weight * z * rise
    # E (r - v - g s z)^2 with r = f - f(mu), v = E r, E z = 0, E z^2 = 1.
    excess = square - value**2 - 2.0 * gate * sd * cross + (gate * sd) ** 2
    return Moments(center + value, gate, excess.clamp(min=0.0))


def _shared(a: Tensor, b: Tensor) -> Tensor:
    """Cov(relu, relu)/s^2 at rho = 1 less Phi(a) Phi(b), for a <= b."""
    return normal_cdf(a) * normal_cdf(-b) - relu_of_shifted_normal(a) * relu_of_shifted_normal(-b)


def _magnitude(m: Tensor) -> Tensor:
    """|m|, with the derivative 1 at 0, which the other terms of a mean are written for."""
    return torch.where(m > 0, m, -m)
