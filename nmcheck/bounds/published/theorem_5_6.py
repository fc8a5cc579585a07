"""Theorem 5.6: batch normalization passes max_j delta_j on.

False: the proof's "there is a j" became a maximum over j.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.published.layer_statement import LayerStatement

STATEMENT = LayerStatement(
    False,
    "Theorem 5.6 is false: its proof shows the inequality for some component and claims it for the largest one.",
)


@dataclass(frozen=True)
class NormalizedComponents:
    """Parameters of the layer, one entry for every component of its input.

    Attributes:
        scale: gamma.
        shift: beta.
        mean: E[x].
        variance: Var[x] + epsilon.
    """

    scale: Float[Tensor, " components"]
    shift: Float[Tensor, " components"]
    mean: Float[Tensor, " components"]
    variance: Float[Tensor, " components"]


def deltas(
    kappa: Float[Tensor, " images"], x: Float[Tensor, "images components"], layer: NormalizedComponents
) -> Float[Tensor, "images components"]:
    """delta_j = min(|rho_1j|, |rho_2j|), the smaller root in absolute value of ``phi gamma r^2 + phi chi r = psi``.

    Zero where gamma_j = 0, where the thesis calls the bound trivial.

    Args:
        kappa: robustness at the layer's output.
        x: the layer's input at every image.
        layer: the layer's parameters.
    """
    deviation = layer.variance.sqrt()
    output = layer.scale * (x - layer.mean) / deviation + layer.shift
    psi = (2 * kappa * torch.linalg.vector_norm(output, dim=1) + kappa**2) / x.shape[1]
    phi = layer.scale / layer.variance
    chi = 2 * layer.scale * (x - layer.mean) + 2 * layer.shift * deviation
    product = phi * chi
    root = (product**2 + 4 * phi * layer.scale * psi.unsqueeze(1)).sqrt()
    # (root - |product|) / (2 phi gamma), without its cancellation.
    steepness = root + product.abs()
    live = (steepness > 0) & (layer.scale != 0)
    return torch.where(live, 2 * psi.unsqueeze(1) / torch.where(live, steepness, 1), 0)


def theorem_5_6(
    kappa: Float[Tensor, " images"], x: Float[Tensor, "images components"], layer: NormalizedComponents
) -> Float[Tensor, " images"]:
    """max_j delta_j; see ``deltas``."""
    return deltas(kappa, x, layer).amax(dim=1)
