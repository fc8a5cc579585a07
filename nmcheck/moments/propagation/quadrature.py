"""Means of functions of one Gaussian, by sums over points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from nmcheck.moments.normal import normal_pdf
from nmcheck.moments.relu import standardized

REACH = 8.0
"""Points lie within +-8 standard deviations, outside of which is 1e-15 of the mass. A function that grows like
exp(g z) needs g below about 3: with g = 4 its mean is off by 3e-5."""
_NODES = 65
"""Without kinks the trapezoidal rule, in steps of 1/4. For a function analytic within a / s of the real line the error
of a mean is about 2 exp(-8 pi a): for the sigmoid of N(mu, s^2), where a s = pi, 3e-7 at s = 5; for tanh, half as wide,
5e-9 at s = 2 and 7e-4 at s = 5. That of a mean slope is some 25 / s times as large."""
_PANEL_NODES = 48
"""With kinks Gauss-Legendre between them, for 1e-12."""


def points(mean: Tensor, sd: Tensor, kinks: Sequence[float]) -> Iterator[tuple[Tensor, Tensor]]:
    """Points z and weights w with E f(mean + sd Z) = sum of w f(mean + sd z), Z standard normal.

    Args:
        mean: of x = mean + sd Z.
        sd: its standard deviation.
        kinks: where f is not smooth in x, in ascending order.

    Yields:
        Pairs that broadcast against ``mean``; no point is a kink of an element that is not constant.
    """
    if not kinks:
        z = torch.linspace(-REACH, REACH, _NODES, dtype=mean.dtype, device=mean.device)
        weights = torch.exp(-0.5 * z**2)
        yield from zip(z, weights / weights.sum(), strict=True)
        return
    inner = [standardized(kink - mean, sd).clamp(-REACH, REACH) for kink in kinks]
    edges = [torch.full_like(mean, -REACH), *inner, torch.full_like(mean, REACH)]
    for low, high in pairwise(edges):
        width = high - low
        for place, weight in _gauss_legendre(_PANEL_NODES):
            z = low + width * place
            yield z, weight * width * normal_pdf(z)


@cache
def _gauss_legendre(nodes: int) -> tuple[tuple[float, float], ...]:
    """(node, weight) pairs on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return tuple(zip((0.5 * (x + 1.0)).tolist(), (0.5 * w).tolist(), strict=True))
