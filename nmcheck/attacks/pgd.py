"""Projected gradient steps inside a ball whose radius is bisected.

A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu: Towards deep learning models resistant to adversarial attacks,
2018. It answers "is there an adversarial example within epsilon?"; bisection makes a norm of it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.attacks.deepfool import first_order
from nmcheck.attacks.fast_gradient import fgs, fgv
from nmcheck.attacks.norms import Norm, per_image
from nmcheck.attacks.problem import Candidates, Nearest, Problem
from nmcheck.attacks.segment import pull_back

BISECTIONS = 10
STEPS = 20
RESTARTS = 1
_FIRST, _LAST = 0.5, 0.02
"""Length of the first and the last step, relative to the ball's radius."""
_ROUNDING = 1e-5
"""A projected point may lie outside its ball by this share of the radius."""


def pgd(problem: Problem, bisections: int = BISECTIONS, steps: int = STEPS, restarts: int = RESTARTS) -> Candidates:
    """The least norm found by bisecting the ball's radius, starting from what one gradient step finds.

    At each radius the steps start at the nearest adversarial point known, shrunk into the ball; where they fail, they
    start again at random points. All images share the random points, so none depends on its neighbours.
    """
    nearest = Nearest(problem)
    start = (fgs if problem.norm is Norm.LINF else fgv)(problem)
    nearest.see(start.points, problem.gap(start.points))
    _, weighted = first_order(problem)
    elements = problem.x[0].numel() if len(problem.x) else 1
    most = problem.reach * (1 if problem.norm is Norm.LINF else elements**0.5)
    low = torch.zeros_like(nearest.norms)
    for _ in range(bisections):
        high = nearest.norms.clamp(max=most)
        radius = (low + high) / 2
        within(weighted, radius, nearest, steps, restarts)
        low = torch.where(nearest.norms <= radius * (1 + _ROUNDING), low, radius)
    pull_back(nearest)
    return nearest.candidates()


def within(
    problem: Problem, radius: Float[Tensor, " images"], nearest: Nearest, steps: int = STEPS, restarts: int = RESTARTS
) -> None:
    """Look for adversarial points inside the balls of these radii and show them to ``nearest``."""
    change = problem.norm.project(nearest.points - problem.x, radius)
    open_ = torch.nonzero(nearest.norms > radius * (1 + _ROUNDING)).flatten()
    for restart in range(restarts + 1):
        if len(open_) == 0:
            return
        part = problem.rows(open_)
        if restart:
            noise = replace(part, seed=problem.seed + restart).random_direction()
            begin = per_image(radius[open_], noise) * noise
        else:
            begin = change[open_]
        _ascend(part, radius[open_], begin, (nearest, open_), steps)
        open_ = torch.nonzero(nearest.norms > radius * (1 + _ROUNDING)).flatten()


def _ascend(part: Problem, radius: Tensor, change: Tensor, seen: tuple[Nearest, Tensor], steps: int) -> None:
    """Steps along the steepest direction of the gap; an image stops at its first success.

    ``seen`` is who is shown the points, and the places of the part's images there.
    """
    nearest, places = seen
    points = part.clip(part.x + change)
    for step in range(steps + 1):
        gap, slope = part.slope(points)
        _show(nearest, places, points, gap)
        rest = torch.nonzero(~(gap > 0)).flatten()
        if len(rest) == 0 or step == steps:
            return
        part, radius, places = part.rows(rest), radius[rest], places[rest]
        length = _LAST + (_FIRST - _LAST) * (1 + math.cos(math.pi * step / steps)) / 2
        direction = part.norm.steepest(slope[rest])
        moved = points[rest] + per_image(length * radius, direction) * direction
        points = part.clip(part.x + part.norm.project(moved - part.x, radius))


def _show(nearest: Nearest, places: Tensor, points: Tensor, gap: Tensor) -> None:
    every = nearest.points.clone()
    every[places] = points
    seen = torch.full_like(nearest.norms, -torch.inf)
    seen[places] = gap
    nearest.see(every, seen)
