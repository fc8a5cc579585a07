"""Means and central moments of what comes in batches, without keeping it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class JointMoments:
    """Count, mean and joint central sums of the second and third order of k features, for each of d outputs.

    Batches are merged by the pairwise formulas of Chan, Golub and LeVeque (1983) for the second order and Pébay
    (SAND2008-6212) for the third: with n = n_a + n_b and delta = mean_b - mean_a,

        M2 = M2_a + M2_b + n_a n_b / n  delta delta'
        M3 = M3_a + M3_b + n_a n_b (n_a - n_b) / n^2  delta^3 + sym(delta (n_a M2_b - n_b M2_a)) / n

    in which sym adds the three ways to say which index is delta's. Nothing is subtracted that grows with the count.

    Attributes:
        count: n.
        mean: of every feature.
        second: sums over samples of (u_i - mean_i)(u_j - mean_j).
        third: sums over samples of (u_i - mean_i)(u_j - mean_j)(u_l - mean_l).
    """

    count: int
    mean: Float[Tensor, "d k"]
    second: Float[Tensor, "d k k"]
    third: Float[Tensor, "d k k k"]

    @classmethod
    def of(cls, features: Float[Tensor, "n d k"]) -> JointMoments:
        """Those of one batch."""
        mean = features.mean(dim=0)
        u = features - mean
        return cls(
            len(features),
            mean,
            torch.einsum("ndi,ndj->dij", u, u),
            torch.einsum("ndi,ndj,ndl->dijl", u, u, u),
        )

    def merged(self, other: JointMoments) -> JointMoments:
        """Those of both together."""
        a, b = self.count, other.count
        n = a + b
        delta = other.mean - self.mean
        cross = torch.einsum("di,djl->dijl", delta, a * other.second - b * self.second) / n
        return JointMoments(
            n,
            self.mean + delta * (b / n),
            self.second + other.second + (a * b / n) * torch.einsum("di,dj->dij", delta, delta),
            self.third
            + other.third
            + (a * b * (a - b) / n**2) * torch.einsum("di,dj,dl->dijl", delta, delta, delta)
            + cross
            + cross.permute(0, 2, 1, 3)
            + cross.permute(0, 2, 3, 1),
        )

    def combined(self, weights: Float[Tensor, "d k"], constant: Float[Tensor, " d"] | float = 0.0) -> JointMoments:
        """Those of one feature, the sum of ``weights`` times the features and a constant."""
        return JointMoments(
            self.count,
            ((weights * self.mean).sum(dim=1) + constant)[:, None],
            torch.einsum("di,dj,dij->d", weights, weights, self.second)[:, None, None],
            torch.einsum("di,dj,dl,dijl->d", weights, weights, weights, self.third)[:, None, None, None],
        )
