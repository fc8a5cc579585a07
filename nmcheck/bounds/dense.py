"""Operator norm of a matrix: its largest singular value, exact up to rounding."""

from __future__ import annotations

import math

from jaxtyping import Float

from nmcheck.bounds.norm_bound import NormBound
from nmcheck.bounds.rounding import rounded_up
from nmcheck.execute.on_demand import Tensor, torch


def spectral_norm(matrix: Float[Tensor, "rows columns"]) -> float:
    """sigma_max, as the root of the largest eigenvalue of the smaller Gram matrix; infinite if an entry is not finite.

    Squaring costs accuracy in the small singular values only. Power iteration is no substitute: it approaches the norm
    from below, and an underestimate here would inflate a certificate.
    """
    if matrix.numel() == 0:
        return 0.0
    scale = matrix.abs().max().item()
    if scale == 0 or not math.isfinite(scale):
        return 0.0 if scale == 0 else math.inf
    scaled = matrix / scale
    gram = scaled @ scaled.mT if matrix.shape[0] <= matrix.shape[1] else scaled.mT @ scaled
    return scale * torch.linalg.eigvalsh(gram)[-1].clamp(min=0).sqrt().item()


def dense_bound(matrix: Float[Tensor, "rows columns"]) -> NormBound:
    """Lipschitz constant of x -> W x + b."""
    return NormBound(rounded_up(spectral_norm(matrix)), "exact SVD")
