"""The exact covariance of two ReLUs of jointly Gaussian units, and of a whole layer of them.

For X1, X2 with means mu_i, deviations s_i, correlation rho and m_i = mu_i/s_i,

    Cov(relu X1, relu X2) = s1 s2 K(m1, m2, rho),   K = rho Phi(m1) Phi(m2) + E,
    E = (1/2pi) Int_0^{asin r} (r - sin t) exp(-(m1^2 + n2^2 - 2 m1 n2 sin t) / (2 cos^2 t)) dt,

with r = |rho|, n2 = sign(rho) m2 (Price's theorem used twice in rho). The integrand is smooth and positive: nothing
cancels, however large |m|. Near r = 1 the integral is taken from the other end, E = r Phi(a) Phi(-b) - h(a) h(-b) + J
with a = min(m1, n2), b = max(m1, n2) and J the integral over [asin r, pi/2], which vanishes at r = 1.

Gauss-Legendre nodes by r keep the absolute error of K below 1e-12 in float64 and 2e-7 in float32, rho = +-1 included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nmcheck.moments.normal import normal_cdf, relu_of_shifted_normal
from nmcheck.moments.relu import deviation, relu_gate, relu_variance, standardized

_Excess = Callable[[Tensor, Tensor, Tensor], Tensor]
_Units = tuple[Tensor, Tensor, Tensor]  # m1, n2 = sign(rho) m2 and r = |rho| of every pair

# (largest r, nodes): few nodes that keep 1e-12 in float64 (worst: 9.5e-13 at r = 0.72, m1 = -m2 = 1.4). Above the last
# r the endpoint form takes over. In float32 1e-8 is enough up to the last tier, which keeps 1.4e-7 at r = 1.
_FLOAT64_TIERS = ((0.45, 6), (0.72, 8), (0.95, 16), (0.99, 24), (0.9998, 48))
_FLOAT32_TIERS = ((0.35, 3), (0.65, 5), (1.0, 16))
# Panels of the endpoint form, as fractions of its range: the integrand's scale shrinks with |a - b| towards u = 0.
_ENDPOINT_PANELS = ((1 / 3, 1.0), (1 / 9, 1 / 3), (1 / 27, 1 / 9), (1 / 81, 1 / 27), (0.0, 1 / 81))
_ENDPOINT_NODES = 12

# E <= exp(-max(m1^2, m2^2)/2) (r asin r + sqrt(1 - r^2) - 1)/2pi <= 0.0909 exp(-max(m1^2, m2^2)/2), because the
# exponent is least at m_other = rho m. So E < 6e-14 (float64) and < 1.5e-8 (float32) once one unit is this far decided.
_DECIDED = {torch.float64: 7.5, torch.float32: 5.6}

_CHUNK = 16_384  # pairs whose temporaries stay in a core's cache
PAIRS_AT_ONCE = 1_000_000
"""Pairs of a layer's units handled at once: bounds the index arrays for wide layers."""


def relu_kernel(
    m1: Float[Tensor, "*shape"], m2: Float[Tensor, "*shape"], rho: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """K(m1, m2, rho) = Cov(relu(m1 + Z1), relu(m2 + Z2)) for standard normals Z1, Z2 of correlation rho.

    Args:
        m1: mean of the first unit over its standard deviation, as ``relu.standardized`` gives it (any size is fine).
        m2: the same for the second unit.
        rho: their correlation; values that rounding pushed beyond +-1 count as +-1.

    Returns:
        K, with an absolute error of at most 1e-12 (float64) or 2e-7 (float32).
    """
    m1, m2 = (standardized(m, torch.ones_like(m)) for m in (m1, m2))
    rho = rho.clamp(-1.0, 1.0)
    excess = _excess(m1.reshape(-1), m2.reshape(-1), rho.reshape(-1)).reshape(rho.shape)
    return rho * normal_cdf(m1) * normal_cdf(m2) + excess


def relu_excess(m1: Float[Tensor, " k"], m2: Float[Tensor, " k"], rho: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """K - rho Phi(m1) Phi(m2): what two ReLUs share beside what their averaged slopes explain.

    Args:
        m1: mean of the first unit over its standard deviation, at most 40 in magnitude.
        m2: the same for the second unit.
        rho: their correlation, within +-1.
    """
    return _excess(m1, m2, rho)


def relu_covariance(mean: Float[Tensor, " p"], covariance: Float[Tensor, "p p"]) -> Float[Tensor, "p p"]:
    """Covariance matrix of relu(z) for z ~ N(mean, covariance), exact.

    Every entry starts as C_ij Phi_i Phi_j; the excess s_i s_j E is added for the pairs where it is not zero to working
    accuracy: both units undecided (|m| below 7.5 in float64, 5.6 in float32; bound in this file's source) and C_ij not
    zero. Each pair is computed once. Units without variance have zero covariance with everything.

    Args:
        mean: of z.
        covariance: of z; symmetric, only its diagonal and upper triangle decide.

    Raises:
        ValueError: a variance on the diagonal is negative or not a number.
    """
    sd = _deviations(covariance.diagonal())
    gate = relu_gate(mean, sd)
    result = covariance * gate[:, None] * gate
    for pairs in _undecided_pairs(mean, covariance, sd, 1.0):
        i, j = pairs.rows[pairs.i], pairs.columns[pairs.j]
        pair = pairs.covariance * gate[i] * gate[j] + pairs.excess
        result[i, j] = pair
        result[j, i] = pair
    return torch.diagonal_scatter(result, relu_variance(mean, sd))


def relu_covariance_seen_by(
    outer: Float[Tensor, "d p"],
    mean: Float[Tensor, " p"],
    covariance: Float[Tensor, "p p"],
    scale: float | Tensor = 1.0,
) -> Float[Tensor, "d d"]:
    """B Cov(relu z) B' for z ~ N(mean, scale * covariance): as ``relu_covariance``, whose matrix is never made.

    Beside the covariance given, memory is needed for some rows of it at a time: a layer of ten thousand units whose
    matrix takes a gigabyte needs no more of them.

    Args:
        outer: B.
        mean: of z.
        covariance: of z over ``scale``; symmetric, only its diagonal and upper triangle decide.
        scale: at least 0.

    Raises:
        ValueError: a variance on the diagonal is negative or not a number.
    """
    gated = outer * relu_gate(mean, _deviations(scale * covariance.diagonal()))
    return scale * (gated @ covariance @ gated.mT) + relu_residual_seen_by(outer, mean, covariance, scale)


def relu_residual_seen_by(
    outer: Float[Tensor, "d p"],
    mean: Float[Tensor, " p"],
    covariance: Float[Tensor, "p p"],
    scale: float | Tensor = 1.0,
) -> Float[Tensor, "d d"]:
    """B (Cov(relu z) - D Cov(z) D) B', D = diag(Phi): what the mean derivatives leave of the covariance.

    Arguments and errors as those of ``relu_covariance_seen_by``.
    """
    sd = _deviations(scale * covariance.diagonal())
    own = relu_variance(mean, sd) - (relu_gate(mean, sd) * sd).square()
    half = torch.zeros(len(outer), len(outer), dtype=outer.dtype, device=outer.device)
    for pairs in _undecided_pairs(mean, covariance, sd, scale):
        block = outer.new_zeros(len(pairs.rows), len(pairs.columns))
        block[pairs.i, pairs.j] = pairs.excess
        half += outer[:, pairs.rows] @ block @ outer[:, pairs.columns].mT
    return (outer * own) @ outer.mT + half + half.mT


def _deviations(variance: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    if not bool((variance >= 0).all()):
        raise ValueError("covariance must have a diagonal of numbers >= 0")
    return variance.sqrt()


class _Pairs(NamedTuple):
    """Pairs of undecided, correlated units, each once.

    Attributes:
        rows: units that the rows of a block stand for.
        columns: those that its columns stand for.
        i: of each pair, the row.
        j: of each pair, the column.
        covariance: of the pair's units.
        excess: s_i s_j E.
    """

    rows: Tensor
    columns: Tensor
    i: Tensor
    j: Tensor
    covariance: Tensor
    excess: Tensor


def _undecided_pairs(mean: Tensor, covariance: Tensor, sd: Tensor, scale: float | Tensor) -> Iterator[_Pairs]:
    """The pairs whose excess is not zero to working accuracy, in blocks of rows."""
    m = standardized(mean, sd)
    undecided = torch.nonzero((m.abs() < _DECIDED[mean.dtype]) & (sd > 0)).squeeze(1)
    count = len(undecided)
    rows_at_once = max(1, PAIRS_AT_ONCE // max(1, count))
    for start in range(0, count, rows_at_once):
        rows, columns = undecided[start : start + rows_at_once], undecided[start:]
        block = covariance[rows[:, None], columns]
        i, j = torch.nonzero(torch.triu(block != 0, diagonal=1), as_tuple=True)
        value, ends = scale * block[i, j], (rows[i], columns[j])
        m_i, m_j, sd_i, sd_j = (of.index_select(0, end) for of in (m, sd) for end in ends)
        both = sd_i * sd_j
        yield _Pairs(rows, columns, i, j, value, both * _excess(m_i, m_j, (value / both).clamp(-1.0, 1.0)))


def _excess(m1: Float[Tensor, " k"], m2: Float[Tensor, " k"], rho: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """E(m1, m2, rho) = K - rho Phi(m1) Phi(m2), by the quadrature that each |rho| needs."""
    r = rho.abs()
    units = (m1, torch.where(rho < 0, -m2, m2), r)
    result = torch.zeros_like(r)
    below = 0.0
    for largest, nodes in _FLOAT32_TIERS if rho.dtype == torch.float32 else _FLOAT64_TIERS:
        # r = 0 has no excess, so the first tier need not hold it.
        _fill(result, (r > below) & (r <= largest), partial(_from_zero, nodes=nodes), units)
        below = largest
    if below < 1.0:
        _fill(result, r > below, _from_one, units)
    return result


def _fill(result: Float[Tensor, " k"], mask: Bool[Tensor, " k"], excess: _Excess, units: _Units) -> None:
    """Writes the excess of the pairs in ``mask`` into ``result``."""
    where = torch.nonzero(mask).squeeze(1)
    if len(where):
        m1, n2, r = (unit.index_select(0, where) for unit in units)
        result.index_copy_(0, where, _chunked(excess, (m1, n2, r)))


def _chunked(excess: _Excess, units: _Units) -> Float[Tensor, " k"]:
    return torch.cat([excess(*chunk) for chunk in zip(*(unit.split(_CHUNK) for unit in units), strict=True)])


@cache
def _gauss_legendre(nodes: int) -> tuple[tuple[float, float], ...]:
    """(node, weight) pairs on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return tuple(zip((0.5 * (x + 1.0)).tolist(), (0.5 * w).tolist(), strict=True))


def _from_zero(
    m1: Float[Tensor, " k"], n2: Float[Tensor, " k"], r: Float[Tensor, " k"], *, nodes: int
) -> Float[Tensor, " k"]:
    """E by the integral over [0, asin r], r >= 0."""
    angle = torch.asin(r)
    # (m1^2 + n2^2 - 2 m1 n2 s)/(2 (1 - s^2)) = (d/(1 - s) + q)/(1 + s): no difference of large squares near s = 1.
    d = -0.5 * (m1 - n2) ** 2
    q = -m1 * n2
    total = torch.zeros_like(r)
    for x, w in _gauss_legendre(nodes):
        s = torch.sin(angle * x)
        total = total + w * (r - s) * torch.exp((d / (1.0 - s) + q) / (1.0 + s))
    return total * angle / (2.0 * math.pi)


def _from_one(m1: Float[Tensor, " k"], n2: Float[Tensor, " k"], r: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """E by the endpoint form: its value at r = 1 and the integral J over u = pi/2 - t in [0, acos r]."""
    a, b = torch.minimum(m1, n2), torch.maximum(m1, n2)
    # Half the angle acos r, from 1 - r: acos itself loses half its digits here.
    half = torch.asin(deviation(0.5 * (1.0 - r)))
    d = 0.5 * (a - b) ** 2
    q = a * b
    total = torch.zeros_like(r)
    for low, high in _ENDPOINT_PANELS:
        for x, w in _gauss_legendre(_ENDPOINT_NODES):
            fraction = low + (high - low) * x
            u = 2.0 * half * fraction
            # At r = 1 the range is empty; a sine of 1 keeps 0/0 out of a term whose factor is 0 anyway.
            sine = torch.where(half > 0, torch.sin(u), 1.0)
            weight = 2.0 * torch.sin(half * (1.0 - fraction)) * torch.sin(half * (1.0 + fraction))
            total = total + (high - low) * w * weight * torch.exp(-d / sine**2 - q / (1.0 + torch.cos(u)))
    tail = total * half / math.pi
    return r * normal_cdf(a) * normal_cdf(-b) - relu_of_shifted_normal(a) * relu_of_shifted_normal(-b) + tail
