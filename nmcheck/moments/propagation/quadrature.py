"""Means of functions of one Gaussian, by sums over ever more points until they agree, with the error that is left.

For z standard normal and x = mean + sd z, E g(z, x) is a sum over points. Each rule is three in one, nested: on all of
its points, on half of them and on a quarter. How these differ says how wrong the finest is. Elements that are not
settled go on to the next rule:

1. where no kink is within reach, the trapezoidal rule, in steps of 1, 1/2 and 1/4 (65 points). For a function that is
   analytic within a of the real line its error is about 2 exp(-8 pi a / sd): for tanh, a = pi / 2, 5e-9 at sd 2.
2. the double exponential rule (Takahasi and Mori 1974) between the kinks, towards which its points become dense (65 a
   panel). A function without kinks is cut at 0: what those in use have, they have around there, so that noise that is
   1,000 times as wide as the function takes few more points than noise that is 10 times as wide.
3. the same with steps of a quarter (257 points a panel).

Sums are in float64 whatever the network is in, so that rounding is not added to what the network has itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from nmcheck.moments.relu import standardized

REACH = 8.0
"""Points lie within +-8 standard deviations. By Cauchy and Schwarz the 1.2e-15 of the mass beyond cannot move a mean by
more than 3.5e-8 of the function's own standard deviation."""
_STEEPNESS = 0.5
"""c in z = low + width / (1 + exp(-2 c sinh t)). pi / 2 is usual, for peaks at the ends; the Gaussian may as well stand
in the middle of a panel, where c = 0.5 does as well with a third of the points."""
_BEYOND = 1.4e-12
"""The share of a panel's width beyond its outermost points, at either end."""
_AT_ONCE = 2**19
"""Points times elements evaluated at once: 4 MiB in float64."""
_SAFETY = 10.0
"""Stated errors are the estimated ones times this."""

Terms = Callable[[Tensor, Tensor, Tensor], Sequence[Tensor]]
"""Of mean and sd, (elements), and z, (points, elements): the functions to average, each of z's shape."""
Settled = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Of averages and their errors, (terms, elements), and of mean and sd: which elements are accurate enough."""


@dataclass(frozen=True)
class _Rule:
    """Nested rules on the same points.

    Attributes:
        low: of each point, the share of a panel's width below it; z itself if ``high`` is None.
        high: the share above it: exact where it is small, which 1 - ``low`` is not.
        weights: of the coarsest rule to the finest, (3, points).
    """

    low: Tensor
    high: Tensor | None
    weights: Tensor


def averages(terms: Terms, mean: Tensor, sd: Tensor, kinks: Sequence[float], settled: Settled) -> tuple[Tensor, Tensor]:
    """E g(z, mean + sd z) of each g, and by how much it may be off; both (terms, *shape) in float64.

    The error is estimated and has no gradient. Where even the last rule does not settle an element, it is by how much
    the rules differ.

    Args:
        terms: the functions g. Constants are averaged exactly.
        mean: of x.
        sd: its standard deviation, of the same shape.
        kinks: where g is not smooth in x, in ascending order. No point is one, unless sd is 0.
        settled: which elements need no further rule.
    """
    shape, cuts = mean.shape, kinks or (0.0,)
    mean, sd = mean.double().reshape(-1), sd.double().reshape(-1)
    near = torch.zeros_like(mean, dtype=torch.bool)
    for kink in kinks:
        near = near | (standardized(kink - mean, sd).abs() < REACH)
    elements, waiting = torch.nonzero(~near).squeeze(1), torch.nonzero(near).squeeze(1)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    rules = (_trapezoidal(), _double_exponential(1, 3), _double_exponential(3, 5))
    for rule in rules:
        for some in elements.split(max(1, _AT_ONCE // len(rule.low))):
            nested = _nested(terms, mean[some], sd[some], cuts, rule)
            values, errors = nested[:, -1], _errors(nested.detach())
            done = settled(values.detach(), errors, mean[some].detach(), sd[some].detach())
            if rule is rules[-1]:
                errors = torch.where(done, errors, _differences(nested.detach()).amax(dim=1))
                done = torch.ones_like(done)
            found.append((some[done], values[:, done], errors[:, done]))
            waiting = torch.cat([waiting, some[~done]])
        if not len(waiting):
            break
        elements, waiting = waiting, waiting[:0]
    order = torch.cat([some for some, _, _ in found]).argsort()
    values = torch.cat([some for _, some, _ in found], dim=1)[:, order]
    errors = torch.cat([some for _, _, some in found], dim=1)[:, order]
    return values.reshape(-1, *shape), errors.reshape(-1, *shape)


def _nested(terms: Terms, mean: Tensor, sd: Tensor, cuts: Sequence[float], rule: _Rule) -> Tensor:
    """Averages by each of the rules, (terms, 3, elements)."""
    weights = rule.weights.to(mean.device)
    low = rule.low.to(mean.device)[:, None]
    if rule.high is None:
        z = low.expand(-1, len(mean))
        return torch.stack([weights @ term for term in terms(mean, sd, z)])
    high = rule.high.to(mean.device)[:, None]
    inner = [standardized(cut - mean, sd).clamp(-REACH, REACH) for cut in cuts]
    edges = [torch.full_like(mean, -REACH), *inner, torch.full_like(mean, REACH)]
    sums, total = torch.zeros(()), torch.zeros(())
    for first, last in pairwise(edges):
        width = last - first
        z = torch.where(low < high, first + width * low, last - width * high)
        mass = width * torch.exp(-0.5 * z**2)
        sums = sums + torch.stack([weights @ (mass * term) for term in terms(mean, sd, z)])
        total = total + weights @ mass
    return sums / total


def _differences(nested: Tensor) -> Tensor:
    """Of neighbors, (terms, 2, elements)."""
    return nested.diff(dim=1).abs()


def _errors(nested: Tensor) -> Tensor:
    """Of the finest rule, (terms, elements).

    With differences d and d' of neighbors, each rule is wrong by d'/d of what the one before it is, at the most: where
    rules converge they do ever faster. Of rules that come no nearer to each other the largest difference is taken.
    """
    before, after = _differences(nested).unbind(dim=1)
    converging = after < 0.5 * before
    left = after.square() / torch.where(converging, before - after, 1.0)
    return _SAFETY * torch.where(converging, left, torch.maximum(before, after))


@cache
def _trapezoidal() -> _Rule:
    points = np.arange(-32, 33)
    mass = np.exp(-0.5 * (0.25 * points) ** 2)
    weights = np.stack([mass * (points % step == 0) for step in (4, 2, 1)])
    return _Rule(torch.from_numpy(0.25 * points), None, torch.from_numpy(weights / weights.sum(axis=1, keepdims=True)))


@cache
def _double_exponential(first: int, last: int) -> _Rule:
    """In steps of 2^-first to 2^-last."""
    end = np.arcsinh(-np.log(_BEYOND) / (2.0 * _STEEPNESS))
    half = int(end * 2**first) * 2 ** (last - first)
    points = np.arange(-half, half + 1)
    t = points * 2.0**-last
    low, high = (1.0 / (1.0 + np.exp(sign * 2.0 * _STEEPNESS * np.sinh(t))) for sign in (-1.0, 1.0))
    growth = 2.0 * _STEEPNESS * np.cosh(t) * low * high
    steps = [2 ** (last - level) for level in range(first, last + 1)]
    weights = np.stack([growth * step * (points % step == 0) for step in steps])
    return _Rule(torch.from_numpy(low), torch.from_numpy(high), torch.from_numpy(weights))
