"""McCormick's planes of a product z = x y of two values in their intervals.

From (x - l_x)(y - l_y) >= 0 and its three siblings: z >= l_y x + l_x y - l_x l_y, z >= u_y x + u_x y - u_x u_y,
z <= l_y x + u_x y - u_x l_y and z <= u_y x + l_x y - l_x u_y. Of each two the one nearer to z at the image is taken.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nmcheck.bounds.relaxation.interval import Interval
from nmcheck.bounds.relaxation.substitution import PlaneSubstitution, Pull

_ROUNDING = 1e-13


def product_planes(x: Interval, y: Interval, pull: Pull, *, other: bool = False) -> PlaneSubstitution:
    """The planes over (x, y), which have the product's shape by now; with ``other`` those that are not nearer."""

    def plane(x_end: Tensor, y_end: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        constant = -x_end * y_end
        return y_end, x_end, constant, y_end * x.centre + x_end * y.centre + constant

    below = _chosen(plane(x.low, y.low), plane(x.high, y.high), largest=not other)
    above = _chosen(plane(x.high, y.low), plane(x.low, y.high), largest=other)
    return PlaneSubstitution(
        lower_slopes=below[:2],
        lower_constant=below[2] - _ROUNDING * below[2].abs(),
        upper_slopes=above[:2],
        upper_constant=above[2] + _ROUNDING * above[2].abs(),
        pull=pull,
    )


def _chosen(
    one: tuple[Tensor, Tensor, Tensor, Tensor], other: tuple[Tensor, Tensor, Tensor, Tensor], *, largest: bool
) -> tuple[Tensor, Tensor, Tensor]:
    first = one[3] >= other[3] if largest else one[3] <= other[3]
    slope_x, slope_y, constant, _ = (torch.where(first, a, b) for a, b in zip(one, other, strict=True))
    return slope_x, slope_y, constant


def product_range(x: Interval, y: Interval) -> tuple[Tensor, Tensor]:
    """Least and largest product."""
    corners = torch.stack([x.low * y.low, x.low * y.high, x.high * y.low, x.high * y.high])
    slack = _ROUNDING * corners.abs().amax(dim=0)
    return corners.amin(dim=0) - slack, corners.amax(dim=0) + slack
