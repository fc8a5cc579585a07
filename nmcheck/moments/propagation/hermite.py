"""Hermite coefficients of functions of one Gaussian, by which residuals of different elements correlate.

For jointly Gaussian standard variables y, z of correlation rho, and functions with coefficients a_k = E[f(z) He_k(z)],
b_k likewise: Cov(f(y), g(z)) = sum over k >= 1 of a_k b_k rho^k / k! (Mehler). The first term is what averaged slopes
explain; residuals have the others.
"""

from __future__ import annotations

from math import factorial

import torch
from torch import Tensor

from nmcheck.moments.normal import normal_cdf, normal_pdf, relu_of_shifted_normal
from nmcheck.moments.propagation.harmonic import harmonic_derivatives
from nmcheck.moments.propagation.quadrature import averages
from nmcheck.steps import SmoothStep

TOLERANCE = 1e-4
"""Error of a coefficient a_k beyond which more points are taken: of a_k / sqrt(k!), which is how much it matters by, in
units of the function's standard deviation."""


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


def smooth_hermite(step: SmoothStep, mean: Tensor, sd: Tensor, order: int) -> Tensor:
    """Coefficients k = 2..order of f(mean + sd z): by quadrature, or exactly where f'' = f or -f.

    In the latter case they are sd^k E f^(k) (Stein).
    """
    if step.harmonic is not None:
        even_and_odd = harmonic_derivatives(step.function, step.harmonic, mean, sd)
        powers = (step.harmonic ** (k // 2) * sd.double() ** k for k in range(2, order + 1))
        rows = [power * even_and_odd[k % 2] for k, power in enumerate(powers, start=2)]
        return torch.stack(rows).to(mean)

    def terms(mean: Tensor, sd: Tensor, z: Tensor) -> list[Tensor]:
        rise = step.function(mean + sd * z) - step.function(mean)
        polynomials = [torch.ones_like(z), z]
        for k in range(1, order):
            polynomials.append(z * polynomials[-1] - k * polynomials[-2])
        return [rise, rise**2, *(polynomial * rise for polynomial in polynomials[2:])]

    sizes = torch.tensor([factorial(k) ** 0.5 for k in range(2, order + 1)], dtype=torch.float64, device=mean.device)

    def settled(values: Tensor, errors: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
        spread = (values[1] - values[0] ** 2).clamp(min=0.0).sqrt()
        return (errors[2:] / sizes[:, None]).amax(dim=0) <= TOLERANCE * spread

    values, _ = averages(terms, mean, sd, step.kinks, settled)
    return values[2:].to(mean)
