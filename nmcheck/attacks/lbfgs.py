"""L-BFGS: Szegedy et al. 2013, section 2.5.1 of Peck's thesis.

Minimise ``alpha ||r||^2 + L(x + r, c)`` over r, x + r inside the box, c being a target class. The thesis asks for the
least alpha > 0 whose minimiser is adversarial, but the less alpha, the farther the minimiser: the nearest one is that
of the largest such alpha, which is searched for here. The norm is squared, so that it has a gradient at r = 0. The loss
is log(1 + exp(f_label - f_c)), the cross-entropy between these two classes: over all classes it would also push down
those that are not in the way.

One image at a time in scipy, hundreds of gradients each: by far the slowest attack.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from nmcheck.attacks.norms import Norm
from nmcheck.attacks.problem import Candidates, Nearest, Problem
from nmcheck.attacks.segment import pull_back

SEARCH = 8
ITERATIONS = 50
_SPAN = 100.0
"""Alpha is searched for within this factor of the first-order estimate."""
_HUGE = 1e300


def lbfgs(problem: Problem, search: int = SEARCH, iterations: int = ITERATIONS) -> Candidates:
    """The nearest adversarial point of any minimisation, towards the class that is nearest to first order.

    Raises:
        ValueError: the problem is not in L2.
    """
    if problem.norm is not Norm.L2:
        raise ValueError("L-BFGS minimises the L2 norm.")
    nearest = Nearest(problem)
    for row in torch.nonzero(~nearest.wrong).flatten():
        single = problem.rows(row[None])
        found = Nearest(single)
        _search(single, found, search, iterations)
        pull_back(found)
        nearest.points[row], nearest.norms[row] = found.points[0], found.norms[0]
    return nearest.candidates()


def _search(problem: Problem, found: Nearest, search: int, iterations: int) -> None:
    """Bisect alpha on a logarithmic scale."""
    differences, slopes = problem.slopes(problem.x, len(problem.logits(problem.x)[0]))
    lengths = torch.stack([Norm.L2.of(slope)[0] for slope in slopes]).double() if len(slopes) else torch.zeros(0)
    distances = torch.where(lengths > 0, differences[:, 0].double().abs() / lengths, torch.inf)
    if not torch.isfinite(distances).any():
        return
    rival = int(distances.argmin())
    target = int(problem.differences(problem.x).detach().topk(rival + 1, dim=1).indices[0, rival])
    # At the boundary the loss falls by half the difference's slope: 2 alpha r = w / 2 with r = distance. In units of
    # the data's range, in which the optimizer's tolerances make sense.
    slope, distance = float(lengths[rival]) * problem.reach, float(distances[rival]) / problem.reach
    estimate = slope / (4 * max(distance, 1e-12))
    low, high = np.log(estimate / _SPAN), np.log(estimate * _SPAN)
    if not _flips(problem, found, float(np.exp(low)), target, iterations):
        return
    for _ in range(search):
        middle = (low + high) / 2
        if _flips(problem, found, float(np.exp(middle)), target, iterations):
            low = middle
        else:
            high = middle


def _flips(problem: Problem, found: Nearest, alpha: float, target: int, iterations: int) -> bool:
    """Whether the minimiser is adversarial; it is kept if it is the nearest so far."""
    unit = problem.reach
    origin = problem.x.detach().cpu().double().numpy().ravel() / unit
    label = int(problem.labels[0])

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        at = _tensor(unit * flat, problem.x).requires_grad_(True)
        logits = problem.logits(at)[0]
        loss = torch.nn.functional.softplus(logits[label] - logits[target])
        (gradient,) = torch.autograd.grad(loss, at)
        change = flat - origin
        value = alpha * float(change @ change) + float(loss.detach())
        slope = 2 * alpha * change + unit * gradient.cpu().double().numpy().ravel()
        # The line search turns back from where there is no number.
        return (value, slope) if np.isfinite(value) and np.isfinite(slope).all() else (_HUGE, np.zeros_like(flat))

    bounds = None if problem.box is None else [(problem.box[0] / unit, problem.box[1] / unit)] * origin.size
    result = minimize(objective, origin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations})
    points = problem.clip(_tensor(unit * result.x, problem.x))
    gap = problem.gap(points)
    found.see(points, gap)
    return bool(gap[0] > 0)


def _tensor(flat: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.array(flat)).to(like).reshape(like.shape)
