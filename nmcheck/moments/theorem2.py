"""Theorem 2 of the network-moments papers (label: published): the output variance as if the input had zero mean.

Shown beside the exact variance so that tables reproduce the papers; it ignores the mean of the pre-activation
altogether and is off by a factor of about two on trained networks.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.affine import AffineMap
from nmcheck.moments.affine_relu_affine import PreActivation


def theorem2_variance(outer: AffineMap, pre: PreActivation) -> Float[Tensor, " d"]:
    """Published variance of B relu(z) + c2 under the assumption E[z] = 0, as the papers apply it to any Gaussian.

    E[g^2] sums Lemma 3, (s_ij asin(rho) + s_i s_j sqrt(1 - rho^2))/2pi + s_ij/4, over pairs (s_i^2/2 on the diagonal,
    which is Lemma 3 at rho = 1) and E[g]^2 = (sum_i B_i s_i/sqrt(2 pi))^2; their difference is formed per pair. The
    paper's "+ c2" in E[g^2] is a misprint (c2^2 + 2 c2 E[g] is meant) and cancels: the variance does not depend on c2.
    Only ``pre.covariance`` is used.
    """
    sd = pre.sd
    total = outer.weight.new_zeros(len(outer.weight))
    for units, covariance in pre.rows():
        scale = sd[units, None] * sd
        # A unit without variance has correlation 0 with everything; its terms are multiplied by sd = 0 below.
        rho = (covariance / torch.where(scale > 0, scale, 1.0)).clamp(-1.0, 1.0)
        second = rho * torch.asin(rho) + torch.sqrt(1.0 - rho**2) - 1.0
        terms = scale * (second / (2.0 * math.pi) + 0.25 * rho)
        # The diagonal is s^2 (1/2 - 1/2pi); rho there may be 1 only up to rounding.
        terms[torch.arange(len(units)), units] = sd[units] ** 2 * (0.5 - 0.5 / math.pi)
        total += torch.einsum("dp,dp->d", outer.weight[:, units] @ terms, outer.weight)
    return total
