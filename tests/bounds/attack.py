"""A plain gradient attack: what a certified distance must never exceed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def adversarial_norm(function: Callable[[Tensor], Tensor], x: Tensor, steps: int = 100) -> float:
    """Norm of a change of ``x`` that changes the label, infinite if none is found.

    DeepFool's steps to the nearest linearized boundary until the label flips, then bisection back along the change.
    """
    logits = function(x).flatten()
    label = int(logits.argmax())
    change = torch.zeros_like(x)
    for _ in range(steps):
        values = function(x + change).flatten()
        if int(values.argmax()) != label:
            break
        rows = torch.func.jacrev(lambda point: function(point).flatten())(x + change).flatten(1)
        margins = values[label] - values
        slopes = rows - rows[label]
        lengths = torch.linalg.vector_norm(slopes, dim=1)
        ratios = torch.where(lengths > 0, margins / lengths.clamp(min=1e-300), torch.inf)
        ratios[label] = torch.inf
        nearest = int(ratios.argmin())
        if not torch.isfinite(ratios[nearest]):
            return float("inf")
        step = (margins[nearest] + 1e-9) / lengths[nearest] ** 2 * slopes[nearest]
        length = torch.linalg.vector_norm(step)
        # The boundary may curve away: no step is longer than half.
        change = change + (1.02 * step * (0.5 / length).clamp(max=1)).reshape(x.shape)
    if int(function(x + change).flatten().argmax()) == label:
        return float("inf")
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if int(function(x + middle * change).flatten().argmax()) == label:
            low = middle
        else:
            high = middle
    return high * torch.linalg.vector_norm(change).item()
