"""The set of inputs a certificate speaks about: a ball around each image, perhaps cut off by a box of values."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmcheck.bounds.relaxation.rows import rows_of

_MULTIPLIERS = 24
"""Bisection steps for the multiplier of an L2 ball that a box cuts off."""
_RADII = 40
"""Bisection steps for the radius at which a linear bound reaches zero inside a box."""
_WIDENED = 1 + 1e-12
"""Above the rounding of a norm of fewer than a thousand times a thousand numbers."""


@dataclass(frozen=True)
class Region:
    """Balls around images: ``|x - centre| <= epsilon``, and inside the box if there is one.

    Attributes:
        centre: the images, (images, *sample).
        epsilon: radius of each ball, (images,).
        norm: 2 or infinity.
        box: least and largest value an input may take, or None.
    """

    centre: Float[Tensor, "images *sample"]
    epsilon: Float[Tensor, " images"]
    norm: float
    box: tuple[float, float] | None = None

    def scaled_to(self, epsilon: Float[Tensor, " images"]) -> Region:
        """The same with other radii."""
        return replace(self, epsilon=epsilon)

    def only(self, images: Int[Tensor, " chosen"]) -> Region:
        """The balls of some of the images."""
        return replace(self, centre=self.centre[images], epsilon=self.epsilon[images])

    @property
    def euclidean(self) -> Float[Tensor, " images"]:
        """Radius of an L2 ball that contains the region."""
        if self.norm == 2:
            return self.epsilon
        return self.epsilon * (self.centre[0].numel() ** 0.5 * _WIDENED)

    def interval(self) -> tuple[Tensor, Tensor]:
        """Least and largest value of every element, (images, *sample)."""
        reach = self.epsilon.reshape(-1, *[1] * (self.centre.ndim - 1))
        low, high = self.centre - reach, self.centre + reach
        return (low, high) if self.box is None else (low.clamp(*self.box), high.clamp(*self.box))

    def descent(self, slope: Float[Tensor, "specs elements"], owner: Int[Tensor, " specs"]) -> Float[Tensor, " specs"]:
        """How far ``slope . x`` can fall below its value at the centre, or more.

        Without a box it is epsilon times the dual norm, exactly; in a box it is exact for Linf, and for L2 within the
        accuracy of a Lagrange multiplier, each of which gives an upper bound.

        Args:
            slope: coefficients of the input's elements.
            owner: which image's ball each row is asked about.
        """
        epsilon = self.epsilon[owner]
        if self.box is None:
            dual = torch.linalg.vector_norm(slope, ord=2 if self.norm == 2 else 1, dim=1)
            return epsilon * dual * _WIDENED
        centre = rows_of(self.centre)[owner]
        below, above = self.box[0] - centre, self.box[1] - centre
        if self.norm != 2:
            reach = epsilon.unsqueeze(1)
            fall = torch.maximum(-slope * torch.maximum(below, -reach), -slope * torch.minimum(above, reach))
            return fall.sum(dim=1) * _WIDENED
        return _ball_in_box(slope, epsilon, below, above) * _WIDENED

    def reach_of(
        self,
        value: Float[Tensor, " specs"],
        slope: Float[Tensor, "specs elements"],
        owner: Int[Tensor, " specs"],
    ) -> Float[Tensor, " specs"]:
        """The largest radius up to which ``value + slope . (x - centre)`` stays non-negative; infinite if any does.

        Where the value itself is negative there is none, and what is returned is negative: how much radius is missing.
        Epsilon is ignored. In a box the radius is bisected, and the one returned has been tested.
        """
        tiny = torch.finfo(value.dtype).tiny
        unit = replace(self, epsilon=torch.ones_like(self.epsilon), box=None).descent(slope, owner)
        alone = value / unit.clamp(min=tiny) / _WIDENED
        alone = torch.where((unit > 0) | (value < 0), alone, torch.inf)
        return alone if self.box is None else torch.where(value < 0, alone, self._reach_in_box(value, slope, owner))

    def _reach_in_box(self, value: Tensor, slope: Tensor, owner: Tensor) -> Tensor:
        assert self.box is not None
        alone = Region(self.centre[owner], self.epsilon[owner], self.norm, self.box)
        each = torch.arange(len(owner))
        sides = self.box[1] - self.box[0]
        largest = sides if self.norm != 2 else sides * slope.shape[1] ** 0.5 * _WIDENED
        high = torch.full_like(value, largest)
        unbounded = alone.scaled_to(high).descent(slope, each) <= value
        low = torch.zeros_like(value)
        for _ in range(_RADII):
            middle = (low + high) / 2
            holds = alone.scaled_to(middle).descent(slope, each) <= value
            low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
        return torch.where(unbounded, torch.inf, low)


def _ball_in_box(slope: Tensor, epsilon: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """Upper bound of max -slope . d over ``|d| <= epsilon`` and ``below <= d <= above``.

    By weak duality it is at most ``max_d (-slope . d - m/2 |d|^2) + m/2 epsilon^2`` for any m > 0, with
    d = clip(-slope / m, below, above); the multiplier whose d has norm epsilon is bisected on a logarithmic scale, and
    the smallest value met is returned, the box alone (m = 0) and the ball alone included.
    """
    alone = torch.maximum(-slope * below, -slope * above).sum(dim=1)
    norm = torch.linalg.vector_norm(slope, dim=1)
    best = torch.minimum(alone, epsilon * norm)
    # With this m the unclipped step has norm epsilon, and clipping only shortens it.
    high = (norm / epsilon.clamp(min=1e-300)).clamp(min=1e-300, max=1e300).log()
    low = high - 20.0
    for _ in range(_MULTIPLIERS):
        middle = (low + high) / 2
        m = middle.exp().unsqueeze(1)
        step = torch.minimum(torch.maximum(-slope / m, below), above)
        dual = (-slope * step - m / 2 * step * step).sum(dim=1) + m.squeeze(1) / 2 * epsilon**2
        best = torch.minimum(best, torch.where(torch.isfinite(dual), dual, torch.inf))
        long = torch.linalg.vector_norm(step, dim=1) > epsilon
        low, high = torch.where(long, middle, low), torch.where(long, high, middle)
    return best
