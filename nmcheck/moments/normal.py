"""The standard normal distribution, stable in both tails: Phi, phi and h(x) = x Phi(x) + phi(x).

h is the mean of relu(x + Z), Z standard normal; every ReLU moment is built from these three (``docs/maths.md``).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

_SQRT_2 = math.sqrt(2.0)
_SQRT_2PI = math.sqrt(2.0 * math.pi)
_SQRT_HALF_PI = math.sqrt(math.pi / 2.0)


def normal_cdf(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Phi(x), with full relative accuracy in the left tail (by erfc)."""
    return 0.5 * torch.special.erfc(x * (-1.0 / _SQRT_2))


def normal_pdf(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """phi(x) = exp(-x^2/2) / sqrt(2 pi)."""
    return torch.exp(-0.5 * x * x) / _SQRT_2PI


def relu_of_shifted_normal(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """h(x) = E[relu(x + Z)] = x Phi(x) + phi(x) for Z standard normal.

    Below -1 the two terms nearly cancel, so the Mills ratio R(y) = Phi(-y) / phi(y) = sqrt(pi/2) erfcx(y / sqrt 2) is
    taken out: h(-y) = phi(y) (1 - y R(y)). The relative error is then about y^2 roundings, and the sign is kept.
    """
    # Both branches get arguments they are finite for, so that a gradient through torch.where has no NaN in it.
    y = (-x).clamp(min=1.0)
    tail = normal_pdf(y) * (1.0 - y * _SQRT_HALF_PI * torch.special.erfcx(y / _SQRT_2)).clamp(min=0.0)
    body = x.clamp(min=-1.0)
    return torch.where(x < -1.0, tail, body * normal_cdf(body) + normal_pdf(body))
