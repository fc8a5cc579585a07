"""Lemma 4 of the network-moments extension (label: published): E[relu x1 relu x2] by a truncated series.

Kept so that tables reproduce the paper. With 5 terms the error reaches 6e-2 (unit variances) near |rho| = 1/sqrt 2,
where both of the paper's cases diverge; with 20 terms 9e-3. At |rho| = 1 the formula divides by zero: the value is NaN,
and a caller must report "no value" with that reason. ``kernel.py`` has the exact covariance for every rho.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.affine import AffineMap
from nmcheck.moments.affine_relu_affine import PreActivation
from nmcheck.moments.normal import normal_pdf
from nmcheck.moments.relu import relu_gate, relu_mean

_SQRT_2 = math.sqrt(2.0)
_CHUNK = 65_536


def lemma4_product(
    m1: Float[Tensor, " k"], m2: Float[Tensor, " k"], rho: Float[Tensor, " k"], terms: int = 5
) -> Float[Tensor, " k"]:
    """E[relu(m1 + Z1) relu(m2 + Z2)] for standard normals of correlation rho, by equations (1) to (3) of the paper.

    Args:
        m1: mean of the first unit over its standard deviation.
        m2: the same for the second unit; the truncated series is not symmetric in the two.
        rho: correlation. NaN comes back where abs(rho) >= 1.
        terms: how many terms of the infinite series are kept (the paper uses 5).
    """
    root = torch.sqrt(1.0 - rho**2)  # NaN beyond 1, and division by 0 at 1 is made NaN below
    first = (m1 - rho * m2) / (_SQRT_2 * root)
    second = (m2 - rho * m1) / (_SQRT_2 * root)
    erf1 = torch.erf(first)
    erf_m2 = torch.erf(m2 / _SQRT_2)
    exponent = -0.5 * (m1**2 - 2.0 * rho * m1 * m2 + m2**2) / root**2
    factor = m1 * m2 + rho
    omega = (
        root * torch.exp(exponent) / (2.0 * math.pi)
        + 0.5 * m1 * normal_pdf(m2) * (1.0 + erf1)
        + 0.5 * m2 * normal_pdf(m1) * (1.0 + torch.erf(second))
        + 0.25 * factor * (1.0 + erf_m2)
    )
    small = rho.abs() < 1.0 / _SQRT_2
    sign = torch.sign(rho)
    # Case |rho| < 1/sqrt 2 integrates from -m2/sqrt 2, the other case from sign(rho) first; one call serves both.
    a = torch.where(small, rho / root, root / rho.abs())
    b = torch.where(small, m1 / (_SQRT_2 * root), -m1 / (_SQRT_2 * rho))
    x = torch.where(small, -m2 / _SQRT_2, sign * first)
    integral = _upper_integral(a, b, x, terms)
    large_bracket = 0.25 * math.pi * (sign + erf1 * erf_m2) - sign * integral
    value = omega + factor / math.pi * torch.where(small, integral, large_bracket)
    return torch.where(rho.abs() < 1.0, value, math.nan)


def lemma4_variance(outer: AffineMap, pre: PreActivation, terms: int = 5) -> Float[Tensor, " d"]:
    """Published variance of B relu(z) + c2: E[g^2] - E[g]^2 with Lemma 4 in Theorem 2's double sum.

    As published, the difference cancels digits when means are large against deviations, and truncation may make it
    negative. c2 is left out of both terms (the variance does not depend on it). The diagonal uses the closed second
    moment (mu^2 + s^2) Phi + mu s phi, which Lemma 4 cannot give (rho = 1). Where a unit has no variance the product of
    the two means stands in, the limit that the formula leaves undefined.

    Returns:
        (d,) variances; all NaN if any two units with variance are fully correlated (abs(rho) = 1 to rounding), used by
        B or not. The caller must state this as the reason for a missing number.
    """
    sd = pre.sd
    # Not held within +-40 as elsewhere: the product of the means needs the real ratio.
    m = pre.mean / torch.where(sd > 0, sd, 1.0)
    mean = relu_mean(pre.mean, sd)
    gate = relu_gate(pre.mean, sd)
    second_moment = (pre.mean**2 + sd**2) * gate + pre.mean * sd * normal_pdf(m)
    total = outer.weight.square() @ second_moment
    for units, covariance in pre.rows():
        # Each pair once: of unit i with the units behind it.
        behind = torch.arange(len(sd), device=sd.device) > units[:, None]
        products = torch.where(behind, mean[units, None] * mean, 0.0)
        scale = sd[units, None] * sd
        i, j = torch.nonzero(behind & (scale > 0), as_tuple=True)
        for part in torch.arange(len(i), device=sd.device).split(_CHUNK):
            rows, columns = i[part], j[part]
            both = scale[rows, columns]
            rho = covariance[rows, columns] / both
            products[rows, columns] = both * lemma4_product(m[units[rows]], m[columns], rho, terms)
        total += 2.0 * torch.einsum("dp,dp->d", outer.weight[:, units] @ products, outer.weight)
    return total - (outer.weight @ mean) ** 2


def _upper_integral(
    a: Float[Tensor, " k"], b: Float[Tensor, " k"], x: Float[Tensor, " k"], terms: int
) -> Float[Tensor, " k"]:
    """I_ab(inf) - I_ab(x), equation (3) with ``terms`` terms: (sqrt(pi)/2) Int_x^inf exp(-t^2) erf(a t + b) dt.

    P(u + 1, x^2) and P(u + 3/2, x^2) are the regularized incomplete gamma functions; at infinity they are 1.
    """
    square = x**2
    sign = torch.sign(x)
    series = torch.zeros_like(a)
    h_even, h_odd = torch.ones_like(b), 2.0 * b  # Hermite polynomials H_2u, H_2u+1
    power = 0.5 * a
    for u in range(terms):
        even = 1.0 - torch.special.gammainc(torch.full_like(square, u + 1.0), square)
        odd = 1.0 - sign * torch.special.gammainc(torch.full_like(square, u + 1.5), square)
        series = series + power * even * h_even / math.gamma(u + 1.5)
        series = series - power * (0.5 * a) * odd * h_odd / math.gamma(u + 2.0)
        power = power * (0.5 * a) ** 2
        h_even = 2.0 * b * h_odd - 2.0 * (2 * u + 1) * h_even
        h_odd = 2.0 * b * h_even - 2.0 * (2 * u + 2) * h_odd
    return 0.25 * math.pi * (1.0 - torch.erf(x)) * torch.erf(b) + 0.5 * math.sqrt(math.pi) * torch.exp(-(b**2)) * series
