"""Lipschitz constants of pooling layers on their real geometry: pads, ceil_mode and dilations included.

Max: two inputs differ in a window's maximum by at most their largest difference inside it, so the squared output
change is at most the sum over windows of the squared input change inside; a pixel is counted once per window that
reads it: ``sqrt(max multiplicity)``, reached in practice. Lp (p >= 1): Minkowski gives the p-norm of the change inside
the window, at most ``max(1, n^(1/p - 1/2))`` times its 2-norm for n taps. Average: linear, the Kronecker product of one
matrix an axis, hence exactly the product of their norms (1/q for disjoint q x q windows).
"""

from __future__ import annotations

import math

from nmcheck.bounds.dense import spectral_norm
from nmcheck.bounds.norm_bound import NormBound
from nmcheck.bounds.rounding import rounded_up
from nmcheck.bounds.sliding_window import SlidingWindow
from nmcheck.execute.on_demand import torch


def max_pool_bound(window: SlidingWindow) -> NormBound:
    """Sqrt of the largest number of windows that read one pixel; exactly 1 for disjoint windows."""
    multiplicity = window.multiplicity()
    if multiplicity <= 1:
        return NormBound(1.0, "disjoint windows")
    return NormBound(rounded_up(math.sqrt(multiplicity)), "window multiplicity")


def average_pool_bound(window: SlidingWindow, includes_padding: bool) -> NormBound:
    """The operator norm itself."""
    factors = [
        spectral_norm(torch.from_numpy(window.averaging_matrix(axis, includes_padding)))
        for axis in range(len(window.kernel))
    ]
    return NormBound(rounded_up(math.prod(factors)), "exact SVD")


def lp_pool_bound(window: SlidingWindow, p: float) -> NormBound:
    """sqrt(max multiplicity) max(1, n^(1/p - 1/2)).

    Raises:
        ValueError: p < 1, where the p-"norm" is not Lipschitz at all.
    """
    return max_pool_bound(window) * _lp_of_window(math.prod(window.kernel), p)


def global_lp_pool_bound(pixels: int, p: float) -> NormBound:
    """One window over all ``pixels`` of a channel: max(1, n^(1/p - 1/2)).

    Raises:
        ValueError: p < 1.
    """
    return _lp_of_window(pixels, p)


def global_average_pool_bound(pixels: int) -> NormBound:
    """1/sqrt(n), exact."""
    return NormBound(rounded_up(1 / math.sqrt(pixels)), "exact")


def _lp_of_window(taps: int, p: float) -> NormBound:
    if not p >= 1:
        raise ValueError(f"Lp pooling with p = {p} is not Lipschitz; p must be at least 1.")
    return NormBound(rounded_up(max(1.0, taps ** (1 / p - 0.5))), "Minkowski")
