"""DDN: decoupled direction and norm.

J. Rony, L. G. Hafemann, L. S. Oliveira, I. Ben Ayed, R. Sabourin, E. Granger: Decoupling direction and norm for
efficient gradient-based L2 adversarial attacks and defenses, 2019, algorithm 1.
"""

from __future__ import annotations

import math

import torch

from nmcheck.attacks.deepfool import first_order
from nmcheck.attacks.norms import Norm, per_image
from nmcheck.attacks.problem import Candidates, Nearest, Problem
from nmcheck.attacks.segment import pull_back

STEPS = 100
GAMMA = 0.05
"""The norm shrinks by this share after a step that ends adversarial and grows by it after one that does not."""
_FINAL = 0.01
"""Length of the last step, relative to the first."""


def ddn(problem: Problem, steps: int = STEPS) -> Candidates:
    """Gradient steps whose direction is free and whose distance from the image is set: nearer after every success.

    The published start, norm 1 and steps of length 1, is made for images in [0, 1] some 1 away from the boundary; here
    both are the first-order distance to it, so that the unit does not matter, and directions lead to the class that is
    nearest. Where the slope vanishes, the step goes in a random direction.

    Raises:
        ValueError: the problem is not in L2.
    """
    if problem.norm is not Norm.L2:
        raise ValueError("DDN minimises the L2 norm.")
    nearest = Nearest(problem)
    noise = problem.random_direction()
    limit = problem.reach * noise[0].numel() ** 0.5 if len(noise) else problem.reach
    start, weighted = first_order(problem)
    start = start.clamp(max=limit)
    start = torch.where(start > 0, start, torch.finfo(problem.x.dtype).eps * problem.reach)
    radius, change = start.clone(), torch.zeros_like(problem.x)
    for step in range(steps):
        points = problem.x + change
        gap, slope = weighted.slope(points)
        nearest.see(points, gap)
        direction = Norm.L2.steepest(slope)
        flat = per_image(Norm.L2.of(slope), slope) == 0
        direction = torch.where(flat, noise, direction)
        length = start * (_FINAL + (1 - _FINAL) * (1 + math.cos(math.pi * step / steps)) / 2)
        change = change + per_image(length, change) * direction
        radius = radius * torch.where(gap > 0, 1 - GAMMA, 1 + GAMMA)
        norm = Norm.L2.of(change)
        scale = radius / torch.where(norm > 0, norm, 1)
        change = problem.clip(problem.x + per_image(scale, change) * change) - problem.x
    points = problem.x + change
    nearest.see(points, problem.gap(points))
    pull_back(nearest)
    return nearest.candidates()
