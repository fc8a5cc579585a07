"""Batch normalization at inference: a diagonal map, its norm the largest factor."""

from __future__ import annotations

from jaxtyping import Float

from nmcheck.bounds.norm_bound import NormBound
from nmcheck.bounds.rounding import rounded_up
from nmcheck.execute.on_demand import Tensor, torch


def channel_factors(
    scale: Float[Tensor, " channels"], variance: Float[Tensor, " channels"], epsilon: float
) -> Float[Tensor, " channels"]:
    """gamma_j / sqrt(var_j + eps)."""
    return scale / torch.sqrt(variance + epsilon)


def batch_normalization_bound(
    scale: Float[Tensor, " channels"], variance: Float[Tensor, " channels"], epsilon: float
) -> NormBound:
    """max_j |gamma_j| / sqrt(var_j + eps): what Theorem 5.6 of the thesis should divide by."""
    return NormBound(rounded_up(channel_factors(scale, variance, epsilon).abs().max().item()), "largest factor")
