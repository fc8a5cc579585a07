"""DeepFool: steps to the nearest boundary of the linearized network.

S. Moosavi-Dezfooli, A. Fawzi, P. Frossard: DeepFool: a simple and accurate method to fool deep neural networks, 2016,
algorithm 2. On a linear network the first step is the exact projection of Theorem 3.6.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.attacks.norms import per_image
from nmcheck.attacks.problem import Candidates, Nearest, Problem
from nmcheck.attacks.segment import pull_back

STEPS = 50
RIVALS = 10
"""Other classes considered at each step, by the size of their logits."""
OVERSHOOT = 0.02
"""The boundary is passed by this share of the step; ``pull_back`` takes it off again."""


def deepfool(problem: Problem, steps: int = STEPS) -> Candidates:
    """Step to the nearest linearized boundary until the label changes, then straight back to the boundary.

    In L2 the step to the boundary with class k is |f_k - f_c| / ||w||^2 w, w being the slope of f_k - f_c; in Linf it
    is |f_k - f_c| / ||w||_1 sign(w). An image whose slopes all vanish fails.
    """
    nearest = Nearest(problem)
    points = problem.x.clone()
    active = torch.nonzero(~nearest.wrong).flatten()
    for _ in range(steps):
        if len(active) == 0:
            break
        part = problem.rows(active)
        step, possible = _step(part, points[active])
        moved = part.clip(points[active] + (1 + OVERSHOOT) * step)
        gap = torch.where(possible, part.gap(moved), -torch.inf)
        points[active] = moved
        seen = torch.full_like(nearest.norms, -torch.inf)
        seen[active] = gap
        nearest.see(points, seen)
        active = active[possible & ~(gap > 0)]
    pull_back(nearest)
    return nearest.candidates()


def first_order(problem: Problem) -> tuple[Float[Tensor, " images"], Problem]:
    """The distance to the nearest boundary of the network linearized at the images, and the problem in distances.

    In the problem returned, a direction is chosen for the class that is nearest, not for the one whose logit is
    largest. Classes beyond ``RIVALS`` count as steep as the others on average. The distance is infinite where all
    slopes vanish.
    """
    differences, slopes = problem.slopes(problem.x, RIVALS)
    if not len(slopes):
        return torch.full_like(problem.x.flatten(1)[:, 0], torch.inf), problem
    lengths = torch.stack([problem.norm.dual(slope) for slope in slopes])
    every = problem.differences(problem.x).detach().nan_to_num(nan=-torch.inf)
    places = every.topk(len(lengths), dim=1).indices
    known = torch.where(lengths > 0, lengths, lengths.amax(dim=0).clamp(min=torch.finfo(lengths.dtype).tiny))
    weights = known.mean(dim=0)[:, None].expand_as(every).scatter(1, places, known.T)
    distances = torch.where(lengths > 0, differences.abs() / known, torch.inf)
    return distances.nan_to_num(nan=torch.inf, posinf=torch.inf).amin(dim=0), replace(problem, lengths=weights)


def _distances(problem: Problem, points: Tensor) -> tuple[Float[Tensor, "rivals images"], Tensor]:
    differences, slopes = problem.slopes(points, RIVALS)
    if not len(slopes):
        return differences, slopes
    lengths = torch.stack([problem.norm.dual(slope) for slope in slopes])
    distances = torch.where(lengths > 0, differences.abs() / torch.where(lengths > 0, lengths, 1), torch.inf)
    return distances.nan_to_num(nan=torch.inf, posinf=torch.inf), slopes


def _step(problem: Problem, points: Tensor) -> tuple[Tensor, Tensor]:
    """The step to the nearest boundary, and for which images there is one."""
    distances, slopes = _distances(problem, points)
    if not len(slopes):
        return torch.zeros_like(points), torch.zeros(len(points), dtype=torch.bool, device=points.device)
    shortest, rival = distances.min(dim=0)
    possible = torch.isfinite(shortest)
    chosen = slopes[rival, torch.arange(len(points), device=points.device)]
    # A point on the boundary itself must still move; the least step is a rounding error of the point.
    least = torch.finfo(points.dtype).eps * points.flatten(1).abs().amax(dim=1).clamp(min=problem.reach)
    length = torch.where(possible, torch.maximum(shortest, least), 0)
    return per_image(length, points) * problem.norm.steepest(chosen), possible
