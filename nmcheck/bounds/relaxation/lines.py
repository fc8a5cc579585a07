"""Two lines an elementwise function lies between on an interval, whatever the function.

Let V be points of [l, u] that contain both ends, such that f is within ``allowance`` of its chords between neighbours
of V. For any slope s, f(x) - s x then is at most max over V of f(v) - s v, plus the allowance: so every slope gives a
sound line. The slope chosen is that of the upper hull of the points above the interval's middle, which makes the area
between line and function smallest; for a ReLU it is the chord above, and below the line 0 or x, whichever is nearer.
A lower line is the negative of an upper line of -f.

For a function with constant slopes V is the ends and its kinks, and the allowance zero. For a function with
|f''| <= M between kinks the distance from a chord over a cell of width h is at most M h^2 / 8 (the remainder of linear
interpolation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.relaxation.interval import magnitude_of
from nmcheck.steps import Bound

CELLS = 32
"""Cells an interval of a smooth function is cut into."""
_NEAR_END = 0.01
_ROUNDING = 1e-13
"""Relative to the terms of f(v) - s v: above their rounding."""
_EVALUATION = 1e-13
"""Of one plus |x|: above the error of torch's smooth functions, which cancel, as GELU does, at most down to that."""


@dataclass(frozen=True)
class Lines:
    """``lower_slope x + lower_constant <= f(x) <= upper_slope x + upper_constant``, each of shape (images, *value)."""

    lower_slope: Tensor
    lower_constant: Tensor
    upper_slope: Tensor
    upper_constant: Tensor


Points = Float[Tensor, "points images *value"]


def piecewise_linear_points(low: Tensor, high: Tensor, kinks: Sequence[Bound]) -> Points:
    """The ends of every interval and the kinks between them, in ascending order."""
    inside = [torch.minimum(torch.maximum(torch.as_tensor(kink, dtype=low.dtype), low), high) for kink in kinks]
    return torch.stack([low, *(kink.expand_as(low) for kink in inside), high])


def smooth_points(low: Tensor, high: Tensor, kinks: Sequence[float]) -> Points:
    """A grid over every interval and the kinks between its ends, in ascending order."""
    weights = torch.linspace(0, 1, CELLS + 1, dtype=low.dtype).reshape(-1, *[1] * low.ndim)
    grid = low + weights * (high - low)
    grid[-1] = high
    if not kinks:
        return grid
    inside = [torch.minimum(torch.maximum(torch.full_like(low, kink), low), high) for kink in kinks]
    return torch.cat([grid, torch.stack(inside)]).sort(dim=0).values


def smooth_allowance(low: Tensor, high: Tensor, curvature: Bound) -> Tensor:
    """M h^2 / 8 for the grid's width h, and the rounding of the function's own values."""
    return curvature * ((high - low) / CELLS) ** 2 / 8 * (1 + 1e-9) + _EVALUATION * (1 + magnitude_of(low, high))


def hull_slope(points: Points, values: Points, middle: Tensor) -> Tensor:
    """Slope of the upper hull of the points (v, f(v)) above ``middle``; zero where all points are one."""
    best = torch.full_like(middle, -torch.inf)
    slope = torch.zeros_like(middle)
    for start in range(len(points) - 1):
        # The points ascend, so chords over the middle go from one to a later one.
        left, left_value = points[start], values[start]
        width = points[start + 1 :] - left
        spans = (left <= middle) & (middle <= points[start + 1 :]) & (width > 0)
        steepness = (values[start + 1 :] - left_value) / torch.where(spans, width, 1)
        height = torch.where(spans, left_value + steepness * (middle - left), -torch.inf)
        highest, place = height.max(dim=0)
        better = highest > best
        best = torch.where(better, highest, best)
        slope = torch.where(better, steepness.gather(0, place.unsqueeze(0)).squeeze(0), slope)
    return slope


def upper_constant(points: Points, values: Points, slope: Tensor) -> Tensor:
    """The least c for which c + slope v is above f(v) at all points, rounded up."""
    product = slope * points
    return (values - product + _ROUNDING * (values.abs() + product.abs())).amax(dim=0)


@dataclass(frozen=True)
class Enclosure:
    """Lines around a function, and its range, over every interval.

    Attributes:
        lines: the lines of least area.
        least: never above a value the function takes.
        most: never below one.
    """

    lines: Lines
    least: Tensor
    most: Tensor


def enclosure(
    low: Tensor,
    high: Tensor,
    function: Callable[[Tensor], Tensor],
    points: Points,
    allowance: Bound,
    *,
    increasing: bool = False,
) -> Enclosure:
    """The lines of least area and the range.

    Args:
        low: lower ends of the intervals, (images, *value).
        high: upper ends.
        function: f, elementwise, of a tensor of shape (images, *value).
        points: V.
        allowance: how far f may be from its chords between neighbours of V, its own rounding included.
        increasing: whether the range is that between the ends.
    """
    values = torch.stack([function(point) for point in points])
    middle = (low + high) / 2
    upper = hull_slope(points, values, middle)
    lower = -hull_slope(points, -values, middle)
    lines = Lines(
        lower,
        -upper_constant(points, -values, -lower) - allowance,
        upper,
        upper_constant(points, values, upper) + allowance,
    )
    slack = 0.0 if increasing else allowance
    around = _ROUNDING * (1 + values.abs().amax(dim=0))
    least, most = values.amin(dim=0), values.amax(dim=0)
    # A piece that is zero is computed without rounding: what is never negative, as behind a ReLU, must stay so.
    below = torch.where(least == 0, 0, around)
    return Enclosure(lines, least - slack - below, most + slack + around)


def second_lines(function: Callable[[Tensor], Tensor], points: Points, allowance: Bound, first: Lines) -> Lines:
    """Another choice: of the hull's slopes near the two ends the one that differs more from the first choice."""
    low, high = points[0], points[-1]
    values = torch.stack([function(point) for point in points])

    def farther(heights: Tensor, slope: Tensor) -> Tensor:
        near, far = (hull_slope(points, heights, low + place * (high - low)) for place in (_NEAR_END, 1 - _NEAR_END))
        return torch.where((near - slope).abs() > (far - slope).abs(), near, far)

    upper = farther(values, first.upper_slope)
    lower = -farther(-values, -first.lower_slope)
    return Lines(
        lower,
        -upper_constant(points, -values, -lower) - allowance,
        upper,
        upper_constant(points, values, upper) + allowance,
    )


def flat_where_nearer(found: Enclosure, low: Tensor, high: Tensor) -> Lines:
    """Lines of slope zero at the ends of the range wherever those are nearer in the middle of the interval."""
    middle, lines = (low + high) / 2, found.lines
    flat_below = lines.lower_slope * middle + lines.lower_constant < found.least
    flat_above = lines.upper_slope * middle + lines.upper_constant > found.most
    return Lines(
        torch.where(flat_below, 0, lines.lower_slope),
        torch.where(flat_below, found.least, lines.lower_constant),
        torch.where(flat_above, 0, lines.upper_slope),
        torch.where(flat_above, found.most, lines.upper_constant),
    )
