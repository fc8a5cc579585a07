"""Functions that are their own second derivative up to a sign: exp, sinh, cosh, sin and cos, exactly.

With f'' = s f, s = 1 or -1, E f(x) = exp(s sd^2 / 2) f(mu) for x ~ N(mu, sd^2) (from E exp(c x) with c^2 = s), and so
for every derivative. f^2 - s f'^2 is a constant K, from which, with q = exp(s sd^2) and e = q - 1,

    Var f - (sd E f')^2 = K e^2 / 2 + s q f'(mu)^2 (e - s sd^2).

Quadrature would miss what these are under wide noise: exp grows faster than the Gaussian falls, and sin has the same
value at all points that lie a period apart.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def harmonic_derivatives(
    function: Callable[[Tensor], Tensor], sign: float, mean: Tensor, sd: Tensor
) -> tuple[Tensor, Tensor]:
    """E f and E f', of which all others are signed copies; in float64.

    Args:
        function: f.
        sign: s.
        mean: of x.
        sd: its standard deviation.
    """
    value, slope = _with_slope(function, mean.double())
    damping = torch.exp(0.5 * sign * sd.double() ** 2)
    return damping * value, damping * slope


def harmonic_excess(function: Callable[[Tensor], Tensor], sign: float, mean: Tensor, sd: Tensor) -> Tensor:
    """Var f - (sd E f')^2, in float64; arguments as above."""
    _, slope = harmonic_derivatives(function, sign, mean, sd)
    at_zero, slope_at_zero = _with_slope(function, torch.zeros((), dtype=torch.float64, device=mean.device))
    invariant = at_zero**2 - sign * slope_at_zero**2
    variance = sd.double() ** 2
    growth = torch.expm1(sign * variance)
    return (0.5 * invariant * growth**2 + sign * slope**2 * (growth - sign * variance)).clamp(min=0.0)


def _with_slope(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.func.jvp(function, (x,), (torch.ones_like(x),))[:2]
