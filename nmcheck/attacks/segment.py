"""From an adversarial point straight back to the image, as far as the label stays changed."""

from __future__ import annotations

import torch

from nmcheck.attacks.norms import per_image
from nmcheck.attacks.problem import Nearest

STEPS = 10
"""Evaluations: on piecewise linear logits the last few only confirm."""
_MARGIN = 0.02
"""Least share of the bracket that a step takes off at either end."""


def pull_back(nearest: Nearest, steps: int = STEPS) -> None:
    """Move every point found towards its image, on the segment between them.

    False position with halved weights (the Illinois rule) on the gap. Whatever is kept was itself tested, so the result
    is adversarial however often the label changes in between. The box is convex, so the segment lies in it.
    """
    problem = nearest.problem
    change = nearest.points - problem.x
    moved = torch.isfinite(nearest.norms) & ~nearest.wrong
    if not moved.any():
        return
    low, high = torch.zeros_like(nearest.norms), torch.ones_like(nearest.norms)
    low_gap, high_gap = nearest.clean_gap.clone(), problem.gap(nearest.points)
    last = torch.zeros_like(low)
    for _ in range(steps):
        share = (low_gap / (low_gap - high_gap)).nan_to_num(nan=0.5, posinf=0.5, neginf=0.5)
        # A gap that is no more than a tie says nothing about where it began.
        share = torch.where(high_gap > torch.finfo(high_gap.dtype).tiny, share, 0.5)
        at = low + (high - low) * share.clamp(_MARGIN, 1 - _MARGIN)
        points = problem.x + per_image(at, change) * change
        gap = problem.gap(points)
        nearest.see(points, torch.where(moved, gap, -torch.inf))
        flipped = gap > 0
        side = torch.where(flipped, 1.0, -1.0)
        # An end that stays twice in a row counts half, or the bracket would only shrink from the other.
        low_gap = torch.where(flipped, torch.where(last == side, low_gap / 2, low_gap), gap)
        high_gap = torch.where(flipped, gap, torch.where(last == side, high_gap / 2, high_gap))
        low, high, last = torch.where(flipped, low, at), torch.where(flipped, at, high), side
