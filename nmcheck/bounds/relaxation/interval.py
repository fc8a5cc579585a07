"""What is known of a value while the input stays in its region, element by element."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDING = 1e-10
"""Relative to the sum of the magnitudes of all terms that go into a bound.

A sum of n products in float64 is off by at most n 2^-53 times the sum of their magnitudes, which for n up to 900,000 is
less; the magnitudes are summed along (``size``), so nothing is assumed about cancellation.
"""


@dataclass(frozen=True)
class Interval:
    """Bounds of one value at every image; all tensors of shape (images, *value).

    Attributes:
        centre: the value at the image.
        low: never above any value taken in the region.
        high: never below any.
        size: magnitude of the terms the value is computed from, those of its relaxation included.
    """

    centre: Tensor
    low: Tensor
    high: Tensor
    size: Tensor

    def within(self, reach: Tensor) -> Interval:
        """The intersection with ``centre +- reach``."""
        reach = reach + ROUNDING * self.size
        return self.clipped(self.centre - reach, self.centre + reach)

    def clipped(self, low: Tensor, high: Tensor) -> Interval:
        """The intersection with [low, high]."""
        return Interval(self.centre, torch.maximum(self.low, low), torch.minimum(self.high, high), self.size)


def magnitude_of(low: Tensor, high: Tensor) -> Tensor:
    """The largest absolute value between the ends."""
    return torch.maximum(low.abs(), high.abs())
