"""Noise as it is drawn for a purpose."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.gaussian import GaussianInput


def noise_draws(x: GaussianInput, count: int, seed: int) -> Float[Tensor, "count n"]:
    """Independent e ~ N(0, sigma^2 S), drawn in float64 on the processor and the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    normals = torch.randn(count, x.structure.directions(x.mean.numel()), generator=generator, dtype=torch.float64)
    return x.sigma * x.structure.noise(normals.to(x.mean))
