"""How many noisy inputs are held at once; torch is not loaded for it."""

from __future__ import annotations

_FEWEST, _MOST = 64, 512
_NUMBERS = 2**23
"""Of noise: 64 MiB in float64, of which there are a few copies."""


def inputs_at_once(n: int) -> int:
    """How many inputs of ``n`` elements: many small ones, few large ones."""
    return max(_FEWEST, min(_MOST, _NUMBERS // n))
