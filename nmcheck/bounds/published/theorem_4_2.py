"""Theorem 4.2 and Algorithm 4.1: robustness of a multilayer perceptron by a second-order Taylor expansion.

``kappa >= (sqrt(||J||^2 + 2 M sqrt(n) delta) - ||J||) / (M sqrt(n))``: J is the Jacobian at the image of the hidden
layers, n the number of units of the last one, delta the distance of Theorem 3.6 behind it, and M a bound on second
derivatives. The remainder in Theorem A.1 misses a factor of the input's dimension, so an entrywise M does not do; the M
of Algorithm 4.1 bounds Hessian norms and does. With ReLU, whose second derivative the thesis sets to 1, the theorem is
false by an unbounded ratio. The thesis estimates ||J|| where an underestimate inflates the bound; here it is exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import scipy.linalg
import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.published.layer_statement import LayerStatement

_TANH_ARGUMENT = math.log(2 + math.sqrt(3)) / 2

TABLE_4_1: Mapping[str, tuple[float, float]] = {
    "Sigmoid": (0.25, (5 - 3 * math.sqrt(3)) / (30 * math.sqrt(3) - 54)),
    "Tanh": (1.0, math.sinh(_TANH_ARGUMENT) / math.cosh(_TANH_ARGUMENT) ** 3),
    "Softplus": (1.0, 0.25),
    "Relu": (1.0, 1.0),
}
"""Bounds on the first and second derivative by operator, as printed, ReLU's second one set to 1 as section 4.3.1 does.
That of tanh, 0.385, is half the true one, 4/(3 sqrt 3)."""


def algorithm_4_1(weights: Sequence[Float[Tensor, "_ _"]], activations: Sequence[str]) -> float:
    """M: from M = 0 and N = 1, layer by layer M <- B N^2 s^2 + A M s and N <- A N s, s the largest absolute row sum.

    Args:
        weights: of the hidden layers, from the first.
        activations: their operators, each a key of ``TABLE_4_1``.
    """
    second, first = 0.0, 1.0
    for weight, activation in zip(weights, activations, strict=True):
        slope, curvature = TABLE_4_1[activation]
        row_sum = weight.abs().sum(dim=1).max().item()
        second = curvature * first**2 * row_sum**2 + slope * second * row_sum
        first = slope * first * row_sum
    return second


def theorem_4_2(
    jacobian_norms: Float[Tensor, " images"], second: float, units: int, delta: Float[Tensor, " images"]
) -> Float[Tensor, " images"]:
    """The bound, in the form that does not cancel (and has a limit, delta / ||J||, for M = 0).

    Args:
        jacobian_norms: ||J|| at every image.
        second: M.
        units: n, units of the last hidden layer.
        delta: distance at the last hidden layer by Theorem 3.6.
    """
    root = (jacobian_norms**2 + 2 * second * math.sqrt(units) * delta).sqrt()
    steepness = root + jacobian_norms
    # A distance of zero is a tie; a vanishing steepness with a positive one means that nothing moves.
    bound = torch.where(steepness > 0, 2 * delta / torch.where(steepness > 0, steepness, 1), torch.inf)
    return torch.where(torch.isinf(delta), torch.inf, torch.where(delta > 0, bound, 0))


def slopes(activation: str, pre_activation: Float[Tensor, "images units"]) -> Float[Tensor, "images units"]:
    """Derivative of an activation of ``TABLE_4_1``; at zero ReLU's is 0."""
    if activation == "Relu":
        return (pre_activation > 0).to(pre_activation.dtype)
    if activation == "Tanh":
        return 1 - torch.tanh(pre_activation) ** 2
    sigmoid = torch.sigmoid(pre_activation)
    return sigmoid if activation == "Softplus" else sigmoid * (1 - sigmoid)


def jacobian_norm(weights: Sequence[Float[Tensor, "_ _"]], layer_slopes: Sequence[Tensor]) -> float:
    """||D_L V_L ... D_1 V_1||, its largest singular value, at one image.

    Args:
        weights: V of the hidden layers, from the first.
        layer_slopes: diagonal of D of each, the activation's derivative at the image.
    """
    # Units that are switched off contribute nothing: leaving them out makes ReLU networks several times cheaper.
    active = layer_slopes[-1] != 0
    product = weights[-1][active] * layer_slopes[-1][active].unsqueeze(1)
    for weight, slope in zip(reversed(weights[:-1]), reversed(layer_slopes[:-1]), strict=True):
        active = slope != 0
        product = (product[:, active] * slope[active]) @ weight[active]
    if 0 in product.shape:
        return 0.0
    if not torch.isfinite(product).all():
        return math.inf
    gram = product @ product.mT if product.shape[0] <= product.shape[1] else product.mT @ product
    last = len(gram) - 1
    largest = scipy.linalg.eigh(gram.numpy(), eigvals_only=True, subset_by_index=[last, last])[0]
    return math.sqrt(max(float(largest), 0.0))


def statement(activations: Sequence[str]) -> LayerStatement:
    """Whether the theorem holds for hidden layers with these activations."""
    if "Relu" in activations:
        return LayerStatement(
            False, "Theorem 4.2 is false for ReLU: it needs a second derivative, which the thesis sets to 1."
        )
    if "Tanh" in activations:
        return LayerStatement(
            False, "Theorem 4.2 is applied with Table 4.1's bound on tanh'', which is half the true one."
        )
    return LayerStatement(
        True, "Theorem 4.2 is true for this activation, because Algorithm 4.1's M bounds Hessian norms."
    )
