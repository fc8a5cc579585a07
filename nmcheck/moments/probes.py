"""How much outputs bend where no draw may have come: found by larger noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.gaussian import GaussianInput
from nmcheck.moments.noise_blocks import noise_blocks

Evaluate = Callable[[Tensor], Tensor]
"""Inputs of shape (batch, n) to outputs of shape (batch, d)."""

PROBES = 64
"""Pairs that look for what no draw met."""

REACHES = {2.0: 1.0, 4.0: 1e-4}
"""How many times the noise they are given, and how much of what they find counts: at twice the noise they cross kinks
that draws just miss; at four times those beyond 5 deviations, whose effect is below 1e-8 of what is found."""


def unmet_bend(evaluate: Evaluate, x: GaussianInput, seed: int) -> Float[Tensor, " d"]:
    """Root mean square of what larger noise leaves of the slope's continuation, in the outputs' units (``REACHES``)."""
    (noise,) = noise_blocks(x, PROBES, seed, PROBES)
    factors = [1.0, -1.0, *(sign * reach for reach in REACHES for sign in (1.0, -1.0))]
    ends = torch.cat([x.mean[None], *(x.mean + factor * noise for factor in factors)])
    f = evaluate(ends).cpu().double()
    rises = dict(zip(factors, (f[1:] - f[0]).chunk(len(factors)), strict=True))
    slope = 0.5 * (rises[1.0] - rises[-1.0])
    found = torch.zeros_like(f[0])
    for reach, share in REACHES.items():
        left = torch.cat([rises[reach] - reach * slope, rises[-reach] + reach * slope])
        found = found + share**2 * left.square().mean(dim=0)
    return found.sqrt().nan_to_num(nan=torch.inf)
