"""Distance to the decision boundary of a linear classifier: Lemma 3.5 and Theorem 3.6 of Peck's thesis.

The least perturbation that changes the label of x -> W x + b has norm ``min_c' (f_c - f_c') / ||w_c - w_c'||_q``,
where ``1/p + 1/q = 1``. The thesis states it as a lower bound for p = 2; it is an equality for every p, because the
nearest of the hyperplanes between c and another class is reached before any third class matters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmcheck.decision import predicted_class


def logit_margins(
    logits: Float[Tensor, "images classes"], classes: Int[Tensor, " images"], masked: Sequence[int] = ()
) -> Float[Tensor, "images classes"]:
    """f_c - f_c' for each image's class c and every class c'; infinite for masked classes, which are never chosen."""
    margins = logits.gather(-1, classes.unsqueeze(-1)) - logits
    margins[..., list(masked)] = torch.inf
    return margins


def pair_distances(rows: Float[Tensor, "classes inputs"], q: float = 2.0) -> Float[Tensor, "classes classes"]:
    """||w_c - w_c'||_q for every pair, from the differences themselves.

    Expanding the square would turn equal rows into rounding noise instead of zero.
    """
    return torch.cdist(rows, rows, p=q, compute_mode="donot_use_mm_for_euclid_dist")


def nearest_hyperplane(
    margins: Float[Tensor, "images classes"],
    classes: Int[Tensor, " images"],
    distances: Float[Tensor, "classes classes"],
) -> Float[Tensor, " images"]:
    """Min over c' != c of margin over distance.

    A pair of equal rows keeps its order under every perturbation, so it counts as infinitely far and never as 0/0;
    a tie between different rows gives 0, whichever of the two stands first: the least change breaks it.

    Args:
        margins: f_c - f_c', as ``logit_margins`` gives them.
        classes: c for every image, the predicted one.
        distances: ||w_c - w_c'||, as ``pair_distances`` gives them.
    """
    rows = distances[classes]
    ratios = torch.where(rows == 0, torch.inf, margins / torch.where(rows == 0, 1, rows))
    own = torch.nn.functional.one_hot(classes, margins.shape[-1]).bool()
    return ratios.masked_fill(own, torch.inf).amin(dim=-1)


def softmax_margin(
    logits: Float[Tensor, "images classes"],
    rows: Float[Tensor, "classes inputs"],
    p: float = 2.0,
    masked: Sequence[int] = (),
) -> Float[Tensor, " images"]:
    """The radius of Theorem 3.6 for each image's predicted class.

    Args:
        logits: W x + b.
        rows: W.
        p: norm of the perturbation; ``inf`` is measured with the 1-norm of the rows' difference.
        masked: classes that are never chosen.
    """
    q = 1.0 if p == torch.inf else torch.inf if p == 1 else p / (p - 1)
    classes = predicted_class(logits)
    return nearest_hyperplane(logit_margins(logits, classes, masked), classes, pair_distances(rows, q))
