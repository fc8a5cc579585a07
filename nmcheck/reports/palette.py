"""The colors of the layer drawings: viridis, whose lightness grows evenly, for color-blind readers and gray prints.

The worst value is yellow, the best dark violet; a number stands beside every color, so the color is never needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

VIRIDIS = (
    "#440154", "#481a6c", "#472f7d", "#414487", "#39568c", "#31688e", "#2a788e", "#23888e",
    "#1f988b", "#22a884", "#35b779", "#54c568", "#7ad151", "#a5db36", "#d2e21b", "#fde725",
)  # fmt: skip
"""Sixteen evenly spaced colors of matplotlib's viridis map (CC0), from the best value to the worst."""
NO_VALUE = "#7d7d7d"
"""Nodes that the metric says nothing about."""
FAILED = "#d40000"
"""Borders of nodes beyond a threshold, which a mark in the badge says too."""


def text_on(color: str) -> str:
    """Black or white, whichever stands out more: the contrast of relative luminances, as in WCAG 2."""
    light = luminance(color) + 0.05
    return "#000000" if light / 0.05 >= 1.05 / light else "#ffffff"


def luminance(color: str) -> float:
    """Relative luminance of ``#rrggbb`` in sRGB, from 0 to 1 (WCAG 2)."""
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def color_index(value: float, values: Sequence[float], *, worst: str, logarithmic: bool) -> int:
    """Which of the colors a value gets among others.

    Args:
        value: the number.
        values: all numbers of the drawing; positive if the scale is logarithmic.
        worst: ``low`` or ``high``, the end that gets the last color.
        logarithmic: whether the scale is.
    """
    low, high = min(values), max(values)
    if logarithmic:
        value, low, high = math.log(value), math.log(low), math.log(high)
    share = 0.5 if low == high else (value - low) / (high - low)
    # Rounded half up, as the viewer's script does; Python's own round goes to even numbers.
    return math.floor((1 - share if worst == "low" else share) * (len(VIRIDIS) - 1) + 0.5)
