"""Exact moments of B relu(A x + c1) + C x + c2 from what they depend on, without A itself.

Under x ~ N(mu, sigma^2 S) the formulas of ``affine_relu_affine`` read A only in A mu + c1, in A S A' and, where there
is a skip term, in A S C'. Who keeps models for later keeps these.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.affine import AffineMap
from nmcheck.moments.kernel import relu_covariance
from nmcheck.moments.relu import relu_gate, relu_mean


@dataclass(frozen=True)
class SkipSummary:
    """What the moments depend on of C.

    Attributes:
        mean: C mu.
        gram: C S C'.
        cross: A S C'.
    """

    mean: Float[Tensor, " d"]
    gram: Float[Tensor, "d d"]
    cross: Float[Tensor, "p d"]


@dataclass(frozen=True)
class Summary:
    """What the moments depend on beside sigma.

    Attributes:
        units: A mu + c1.
        gram: A S A'.
        outer: B and c2.
        skip: of C; None where nothing passes the ReLU by.
    """

    units: Float[Tensor, " p"]
    gram: Float[Tensor, "p p"]
    outer: AffineMap
    skip: SkipSummary | None = None


def summary_mean(summary: Summary, sigma: float) -> Float[Tensor, " d"]:
    """B E[relu(z)] + C mu + c2; ``output_mean``'s formula."""
    mean = summary.outer(relu_mean(summary.units, sigma * summary.gram.diagonal().sqrt()))
    return mean if summary.skip is None else mean + summary.skip.mean


def summary_covariance(summary: Summary, sigma: float, *, pairs: torch.dtype = torch.float64) -> Float[Tensor, "d d"]:
    """B Cov(relu z) B' + sigma^2 (C S C' + M + M'), M = B diag(Phi) A S C': ``output_covariance``'s formula.

    Args:
        summary: in double precision.
        sigma: of the noise.
        pairs: the precision of the pairs of units; float32 (2e-7) takes half the time, and is enough where the Gram
            matrix itself is known to fewer digits.
    """
    pre, outer = sigma**2 * summary.gram, summary.outer.weight
    # Cov(relu(s z)) = s^2 Cov(relu z): a scale of 1 keeps small noise within single precision.
    scale = float(pre.diagonal().max().sqrt()) or 1.0
    units = relu_covariance((summary.units / scale).to(pairs), (pre / scale**2).to(pairs)).to(outer.dtype)
    covariance = outer @ (scale**2 * units) @ outer.mT
    if summary.skip is not None:
        cross = (outer * relu_gate(summary.units, pre.diagonal().sqrt())) @ summary.skip.cross
        covariance = covariance + sigma**2 * (summary.skip.gram + cross + cross.mT)
        # Where the skip cancels the rest, what is left is rounding of what the bank keeps, and may be below 0.
        covariance.diagonal().clamp_(min=0)
    return 0.5 * (covariance + covariance.mT)
