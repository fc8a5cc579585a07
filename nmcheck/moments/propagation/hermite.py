"""Hermite coefficients of functions of one Gaussian, by which residuals of different elements correlate.

For jointly Gaussian standard variables y, z of correlation rho, and functions with coefficients a_k = E[f(z) He_k(z)],
b_k likewise: Cov(f(y), g(z)) = sum over k >= 1 of a_k b_k rho^k / k! (Mehler). The first term is what averaged slopes
explain; residuals have the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nmcheck.moments.normal import normal_cdf, normal_pdf, relu_of_shifted_normal
from nmcheck.moments.propagation.quadrature import points


def relu_hermite(m: Tensor, sd: Tensor, order: int) -> Tensor:
    """Coefficients k = 2..order of relu(sd (m + z)): the k-th derivative of sd h(m), sd phi(m) (-1)^k He_(k-2)(m)."""
    rows = [torch.ones_like(m), -m]
    for k in range(2, order - 1):
        rows.append(-m * rows[-1] - (k - 1) * rows[-2])
    return torch.stack(rows[: order - 1]) * normal_pdf(m) * sd


def relu_residual(m: Tensor, sd: Tensor) -> Tensor:
    """Standard deviation of relu(sd (m + z)) less its closest affine function."""
    inside = normal_cdf(m) * normal_cdf(-m) - relu_of_shifted_normal(m) * relu_of_shifted_normal(-m)
    return sd * inside.clamp(min=0.0).sqrt()


def smooth_hermite(
    function: Callable[[Tensor], Tensor], kinks: Sequence[float], mean: Tensor, sd: Tensor, order: int
) -> Tensor:
    """Coefficients k = 2..order of f(mean + sd z), by quadrature."""
    center = function(mean)
    total = torch.zeros(order - 1, *mean.shape, dtype=mean.dtype, device=mean.device)
    for z, weight in points(mean, sd, kinks):
        polynomials = [torch.ones_like(z), z]
        for k in range(1, order):
            polynomials.append(z * polynomials[-1] - k * polynomials[-2])
        rise = weight * (function(mean + sd * z) - center)
        total = total + torch.stack(polynomials[2:]).reshape(order - 1, *(1,) * (mean.ndim - z.ndim), *z.shape) * rise
    return total
