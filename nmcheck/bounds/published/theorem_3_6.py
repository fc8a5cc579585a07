"""Theorem 3.6: the distance to the nearest hyperplane between two classes. True, and an equality."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.published.layer_statement import LayerStatement
from nmcheck.bounds.softmax_margin import softmax_margin

STATEMENT = LayerStatement(True, "Theorem 3.6 is true, and in fact an equality: the nearest hyperplane can be reached.")


def theorem_3_6(
    logits: Float[Tensor, "images classes"], rows: Float[Tensor, "classes inputs"], masked: Sequence[int] = ()
) -> Float[Tensor, " images"]:
    """min_c' (f_c - f_c') / ||w_c - w_c'||: kappa at the input of the last dense layer.

    Args:
        logits: W x + b.
        rows: W.
        masked: classes that are never chosen.
    """
    return softmax_margin(logits, rows, masked=masked)
