"""Theorem 5.9 with Lemma 5.11: local response normalization passes max over Delta of lambda_a on. False.

Lemma 5.8 turns "at least one component" into "all of Delta", over which the theorem takes a maximum; Lemma 5.11 takes a
mixed second derivative for zero that is not. The thesis concludes that such layers increase robustness, up to a factor
of about 1200 on a trained network where the truth is about 1.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.lrn import LocalResponseNormalization, shifted
from nmcheck.bounds.published.layer_statement import LayerStatement

STATEMENT = LayerStatement(
    False,
    "Theorem 5.9 is false: its proof shows the inequality for some component and claims it for the largest one.",
)


def lemma_5_11(layer: LocalResponseNormalization, largest: Float[Tensor, " images"]) -> Float[Tensor, " images"]:
    """M = 4 x a b (x^2 a (b+1) k^(-b-2) + k^(-b-1)) + 2 x a b k^(-b-1), x the largest |activation| of an image."""
    a, b, k = layer.alpha / layer.size, layer.beta, layer.bias
    return 4 * largest * a * b * (
        largest**2 * a * (b + 1) * k ** (-b - 2) + k ** (-b - 1)
    ) + 2 * largest * a * b * k ** (-b - 1)


def gradient_norms(
    layer: LocalResponseNormalization, x: Float[Tensor, "images channels *pixels"]
) -> Float[Tensor, "images channels *pixels"]:
    """||gradient of LRN(X)_a|| for every component a."""
    a, b = layer.alpha / layer.size, layer.beta
    denominators = layer.denominators(x)
    squares = torch.zeros_like(x)
    for offset in layer.offsets:
        entry = -2 * a * b * x * shifted(x, offset) * denominators ** (-b - 1)
        if offset == 0:
            entry = entry + denominators**-b
        squares = squares + entry**2
    return squares.sqrt()


def theorem_5_9(
    kappa: Float[Tensor, " images"],
    layer: LocalResponseNormalization,
    x: Float[Tensor, "images channels *pixels"],
) -> Float[Tensor, " images"]:
    """Max over a with delta_a < 0 of (sqrt(||grad_a||^2 - 2 M delta_a) - ||grad_a||) / M.

    ``delta_a = |LRN(X)_a| - (||LRN(X)||_F + kappa) / sqrt(number of components)``.

    Args:
        kappa: robustness at the layer's output.
        layer: the layer's parameters.
        x: the layer's input at every image.
    """
    images, components = len(x), x[0].numel()
    output = layer(x).reshape(images, components).abs()
    norm = torch.linalg.vector_norm(output, dim=1)
    delta = output - ((norm + kappa) / math.sqrt(components)).unsqueeze(1)
    gradient = gradient_norms(layer, x).reshape(images, components)
    second = lemma_5_11(layer, x.reshape(images, components).abs().amax(dim=1)).unsqueeze(1)
    # The root in the form that does not cancel.
    steepness = (gradient**2 - 2 * second * delta.clamp(max=0)).sqrt() + gradient
    live = (delta < 0) & (steepness > 0)
    return torch.where(live, -2 * delta / torch.where(live, steepness, 1), 0).amax(dim=1)
