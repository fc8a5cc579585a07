"""Fast gradient sign and fast gradient value with the least step: Algorithm 2.1 of Peck's thesis, mended.

The published search runs ``while u - l > 0``, which floating-point numbers never end, returns the midpoint without
testing it, and never tests u, so that a failed search looks like a success. Here u is tested first, the halvings are
counted, and u is returned (docs/errata.md). The gradient is that of the logit difference to the strongest other class,
since that of a softmax loss vanishes where the network is sure.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.attacks.norms import Norm, per_image
from nmcheck.attacks.problem import Candidates, Nearest, Problem

STEPS = 40
_PRECISION = 1e-6
"""Relative width of the bracket at which an image is finished."""


def fgs(problem: Problem) -> Candidates:
    """Fast gradient sign, equation (2.8): x + epsilon sign(gradient), epsilon up to ``problem.reach``.

    The change is measured in the problem's norm: epsilon itself in Linf, epsilon sqrt(elements) in L2 without a box.
    """
    _, slope = problem.slope(problem.x)
    return _least_step(problem, Norm.LINF.steepest(slope), problem.reach)


def fgv(problem: Problem) -> Candidates:
    """Fast gradient value, equation (2.10): x + epsilon gradient.

    The gradient is scaled to length 1, and epsilon goes up to the diagonal of the data's range, so that its unit is
    that of the images.
    """
    _, slope = problem.slope(problem.x)
    elements = problem.x[0].numel() if len(problem.x) else 1
    return _least_step(problem, Norm.L2.steepest(slope), problem.reach * elements**0.5)


def _least_step(problem: Problem, direction: Float[Tensor, "images *sample"], most: float) -> Candidates:
    """The least epsilon in (0, most] found by bisection for which clip(x + epsilon direction) is adversarial.

    Whether the label changes need not be monotone in epsilon; what is returned was tested, and is least on the
    bisection's path only.
    """

    def at(epsilon: Tensor) -> Tensor:
        return problem.clip(problem.x + per_image(epsilon, problem.x) * direction)

    nearest = Nearest(problem)
    low = torch.zeros_like(nearest.norms)
    high = torch.full_like(low, most)
    points = at(high)
    gap = problem.gap(points)
    nearest.see(points, gap)
    active = (gap > 0) & ~nearest.wrong
    for _ in range(STEPS):
        active = active & (high - low > _PRECISION * high)
        if not active.any():
            break
        middle = (low + high) / 2
        points = at(middle)
        gap = torch.where(active, problem.gap(points), -torch.inf)
        nearest.see(points, gap)
        low = torch.where(active & ~(gap > 0), middle, low)
        high = torch.where(gap > 0, middle, high)
    return nearest.candidates()
