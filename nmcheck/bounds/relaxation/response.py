"""Lines of local response normalization: y_i = x_i g_i with a gain g_i = D_i^-beta that lies in an interval.

The gain falls with D_i = bias + a sum of squares over the window, so bounds of the squares bound it; in an L2 ball of
radius rho around the layer's own input so does the window's norm, which moves by rho at most. Given g_lo <= g <= g_hi,
for x >= 0 simply g_lo x <= y <= g_hi x. For x of either sign y lies between min(g_lo x, g_hi x), which is concave, and
max(g_lo x, g_hi x), which is convex: their chords over [l, u] are McCormick's lines with g eliminated.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.lrn import LocalResponseNormalization
from nmcheck.bounds.relaxation.interval import Interval, magnitude_of
from nmcheck.bounds.relaxation.lines import Lines

_ROUNDING = 1e-13


def gains(layer: LocalResponseNormalization, x: Interval, radius: Float[Tensor, " images"]) -> tuple[Tensor, Tensor]:
    """Least and largest gain of every element.

    Args:
        layer: the normalization.
        x: its input, (images, 1, channels, *pixels).
        radius: how far the input can move in the Euclidean norm; may be infinite.
    """
    a = layer.alpha / layer.size
    largest = magnitude_of(x.low, x.high)
    smallest = torch.maximum(x.low, -x.high).clamp(min=0)
    most, least = _window_sums(layer, largest * largest), _window_sums(layer, smallest * smallest)
    rho = radius.reshape(-1, *[1] * (x.centre.ndim - 1))
    norm = _window_sums(layer, x.centre * x.centre).sqrt()
    within = torch.where(torch.isfinite(rho), rho, torch.finfo(rho.dtype).max ** 0.5)
    most = torch.minimum(most, (norm + within) ** 2) * (1 + _ROUNDING)
    least = torch.maximum(least, (norm - within).clamp(min=0) ** 2) * (1 - _ROUNDING)
    low = (layer.bias + a * most) ** -layer.beta * (1 - _ROUNDING)
    return low, (layer.bias + a * least) ** -layer.beta * (1 + _ROUNDING)


def response_lines(low_gain: Tensor, high_gain: Tensor, x: Interval) -> Lines:
    """The lines for x in its interval."""
    # Ends of the concave function below and of the convex one above.
    below = [torch.minimum(low_gain * end, high_gain * end) for end in (x.low, x.high)]
    above = [torch.maximum(low_gain * end, high_gain * end) for end in (x.low, x.high)]
    width = x.high - x.low
    safe = torch.where(width > 0, width, 1)
    positive, negative = x.low >= 0, x.high <= 0
    lower = torch.where(width > 0, (below[1] - below[0]) / safe, 0)
    upper = torch.where(width > 0, (above[1] - above[0]) / safe, 0)
    lower = torch.where(positive, low_gain, torch.where(negative, high_gain, lower))
    upper = torch.where(positive, high_gain, torch.where(negative, low_gain, upper))
    slack = _ROUNDING * high_gain * magnitude_of(x.low, x.high)
    constant_below = torch.minimum(below[0] - lower * x.low, below[1] - lower * x.high) - slack
    constant_above = torch.maximum(above[0] - upper * x.low, above[1] - upper * x.high) + slack
    return Lines(lower, constant_below, upper, constant_above)


def response_range(low_gain: Tensor, high_gain: Tensor, x: Interval) -> tuple[Tensor, Tensor]:
    """Least and largest output."""
    slack = _ROUNDING * high_gain * magnitude_of(x.low, x.high)
    return (
        torch.minimum(low_gain * x.low, high_gain * x.low) - slack,
        torch.maximum(low_gain * x.high, high_gain * x.high) + slack,
    )


def _window_sums(layer: LocalResponseNormalization, x: Tensor) -> Tensor:
    """Sums over channels, which here stand behind the graph's own batch axis of length one."""
    return layer.window_sums(x.transpose(1, 2)).transpose(1, 2)


def response(layer: LocalResponseNormalization, x: Tensor) -> Tensor:
    """The layer at x of shape (images, 1, channels, *pixels)."""
    return layer(x.transpose(1, 2)).transpose(1, 2)
