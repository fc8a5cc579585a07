"""Mean, variance and gate of relu(x) for one Gaussian x ~ N(mu, s^2).

With m = mu/s: E = max(mu, 0) + s h(-|m|) (equal to s h(m), Theorem 1 of the network-moments papers, without forming
the product of a huge m), Var = s^2 (Phi(m) - h(m) h(-m)), gate = P(x > 0) = Phi(m). Exact; s = 0 gives the limits.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.normal import normal_cdf, relu_of_shifted_normal

# exp(-40^2/2) = 1e-348 is zero in float64: beyond it a unit is on or off and nothing else about m matters.
LARGEST_M = 40.0


def deviation(variance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The square root, with the derivative 0 where the variance is 0: such a unit has no noise, and gains none."""
    return torch.where(variance > 0, torch.where(variance > 0, variance, 1.0).sqrt(), 0.0)


def standardized(mean: Float[Tensor, "*shape"], sd: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """M = mean / sd, held within +-40 (where Phi is 0 or 1 to rounding).

    A unit without noise (sd = 0) is on or off: m = 40 sign(mean), and 0 where the mean is 0 too (there the unit's own
    moments are all 0 and m cannot matter).
    """
    # Decided first: a quotient may be beyond float32, and so may its derivative be.
    decided = mean.abs() >= LARGEST_M * sd
    quotient = torch.where(decided, 0.0, mean) / torch.where(sd > 0, sd, 1.0)
    return torch.where(decided, LARGEST_M * torch.sign(mean), quotient)


def relu_mean(mean: Float[Tensor, "*shape"], sd: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """E[relu(x)], x ~ N(mean, sd^2), in the units of ``mean``."""
    m = standardized(mean, sd)
    # -|m| and max(mu, 0) written by cases: their own derivatives at 0 would not add up to Phi(0).
    return torch.where(mean > 0, mean, 0.0) + sd * relu_of_shifted_normal(torch.where(mean > 0, -m, m))


def relu_variance(mean: Float[Tensor, "*shape"], sd: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Var[relu(x)], x ~ N(mean, sd^2), in the squared units of ``mean``.

    The form subtracts no near-equal squares however large |mean|/sd; its rounding error is below one rounding of sd^2,
    and a value that rounding alone pushed below zero (far left tail) is zero.
    """
    m = standardized(mean, sd)
    return sd**2 * (normal_cdf(m) - relu_of_shifted_normal(m) * relu_of_shifted_normal(-m)).clamp(min=0.0)


def relu_gate(mean: Float[Tensor, "*shape"], sd: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """P(x > 0), the mean slope of the ReLU under x ~ N(mean, sd^2)."""
    return normal_cdf(standardized(mean, sd))
