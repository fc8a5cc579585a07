"""Theorem 5.3: a pooling layer with a t x t output passes kappa / t on, Lp pooling kappa / (t q^(2/p)).

The statement is true for max, average and Lp with p >= 1, though its proof is broken (5.4) and it is loose: the
certified constant of disjoint windows is 1 where the theorem says t. For p < 1 it is false.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.published.layer_statement import LayerStatement
from nmcheck.bounds.sliding_window import SlidingWindow

STATEMENT = LayerStatement(True, "Theorem 5.3's statement is true but loose; its proof is not valid.")
STATEMENT_BELOW_ONE = LayerStatement(False, "Theorem 5.3 is false for p < 1, where Minkowski's inequality fails.")


def theorem_5_3(kappa: Float[Tensor, " images"], windows: int) -> Float[Tensor, " images"]:
    """Max or average pooling: kappa / t.

    Args:
        kappa: robustness at the layer's output.
        windows: number of windows a channel, t^2 in the thesis; t is its root for outputs that are not square.
    """
    return kappa / math.sqrt(windows)


def theorem_5_3_lp(kappa: Float[Tensor, " images"], windows: int, taps: int, p: float) -> Float[Tensor, " images"]:
    """Lp pooling: kappa / (t q^(2/p)).

    Args:
        kappa: robustness at the layer's output.
        windows: t^2.
        taps: q^2, pixels of a window.
        p: the norm.
    """
    return theorem_5_3(kappa, windows) / taps ** (1 / p)


def window_count(window: SlidingWindow) -> int:
    """t^2."""
    return math.prod(window.output_size)
