"""Theorem 5.1: a convolution, with or without a ReLU behind it, passes kappa / ||W||_F on.

False where windows overlap: Lemma A.4 drops the cross terms of a square, and the operator norm exceeds ||W||_F.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.published.layer_statement import LayerStatement
from nmcheck.bounds.sliding_window import SlidingWindow


def theorem_5_1(kappa: Float[Tensor, " images"], weight: Float[Tensor, "out in *kernel"]) -> Float[Tensor, " images"]:
    """Kappa / ||W||_F."""
    return kappa / torch.linalg.vector_norm(weight)


def statement(window: SlidingWindow) -> LayerStatement:
    """True only if no pixel is read by two windows, as with a stride of at least the kernel."""
    if window.multiplicity() <= 1:
        return LayerStatement(True, "Theorem 5.1 holds here, because no two windows of the convolution overlap.")
    return LayerStatement(
        False, "Theorem 5.1 is false here: windows overlap, and the operator norm may exceed ||W||_F (Lemma A.4)."
    )
