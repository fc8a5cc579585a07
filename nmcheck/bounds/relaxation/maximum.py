"""Planes between which a maximum of several values lies, each value in its own interval.

Above: for any c that is at least every lower end, with ``s_j = (u_j - c)+ / (u_j - l_j)``,

    max_k x_k <= c + sum_j s_j (x_j - l_j).

Proof: all terms of the sum are non-negative, so it is enough that x_k <= c + s_k (x_k - l_k) for each k. Both sides are
linear in x_k; at x_k = l_k it says l_k <= c, at x_k = u_k it is an equality if u_k > c, and else u_k <= c.

The c taken is the second largest upper end, or the largest lower end if that is higher: then the winner alone, the
value with the highest upper end, has a slope, and this is the line of formulas.md, section g. A single possible winner
(l_w >= every other u) gives c = l_w, slope 1 and the exact maximum. A smaller c gives several values a slope; it was
measured to certify less, even where its plane is lower at the image.

Below: max_k x_k >= x_w for any w; the one with the highest middle is taken, which for max(x, 0) is ReLU's usual rule.
Where x_w is a constant that is the plane's constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_ROUNDING = 1e-13

Taps = Float[Tensor, "taps images *output"]


@dataclass(frozen=True)
class Planes:
    """Planes over the values compared; the slopes of shape (taps, images, *output), the constants (images, *output)."""

    lower: Tensor
    lower_constant: Tensor
    upper: Tensor
    upper_constant: Tensor


def maximum_planes(low: Taps, high: Taps) -> Planes:
    """The planes for intervals [low, high] of the values compared."""
    floor = low.amax(dim=0)
    width = (high - low).clamp(min=0)
    threshold = torch.maximum(floor, high.topk(2, dim=0).values[1]) if len(high) > 1 else floor
    return _planes(low, width, high, threshold, (low + high).argmax(dim=0))


def _planes(low: Taps, width: Taps, high: Taps, threshold: Tensor, winner: Tensor) -> Planes:
    """The planes for a given c and a given value below."""
    safe = torch.where(width > 0, width, 1)
    slopes = torch.where(width > 0, (high - threshold).clamp(min=0) / safe, 0).clamp(max=1)
    # A tap that lies outside the input has slope zero, and its far-away number must not count as a term.
    terms = torch.where(slopes > 0, slopes * low, 0)
    # The slopes' own rounding is worth some 1e-16 of the width.
    rounding = _ROUNDING * (threshold.abs() + terms.abs().sum(dim=0) + torch.where(slopes > 0, width, 0).sum(dim=0))
    chosen = torch.nn.functional.one_hot(winner, len(low)).movedim(-1, 0).to(low.dtype)
    # A slope of a constant leads to no input, and the constant would be lost.
    fixed = torch.where((chosen > 0) & (width == 0), low, 0).sum(dim=0)
    lower = torch.where(width > 0, chosen, 0)
    return Planes(lower, fixed, slopes, threshold - terms.sum(dim=0) + rounding)


def second_planes(low: Taps, high: Taps) -> Planes:
    """Another choice: above with the smallest c there is, below the value with the second highest middle."""
    floor = low.amax(dim=0)
    width = (high - low).clamp(min=0)
    middle = low + high
    ranked = middle.topk(min(2, len(middle)), dim=0).indices[-1]
    return _planes(low, width, high, floor, ranked)


def contested(low: Taps, high: Taps) -> Bool[Tensor, "taps images *output"]:
    """The values whose bounds matter: those that can be the largest, where several can."""
    possible = high > low.amax(dim=0)
    return possible & (possible.sum(dim=0) > 1)
