"""Affine maps and the (Affine, ReLU, Affine) form: produced by ``linearize``, consumed by ``moments``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class AffineMap:
    """x -> W x + b on flat vectors.

    Attributes:
        weight: W, of shape (outputs, inputs).
        bias: b, of shape (outputs,).
    """

    weight: Float[Tensor, "outputs inputs"]
    bias: Float[Tensor, " outputs"]

    def __call__(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """W x + b for every row of ``x``."""
        return x @ self.weight.mT + self.bias


@dataclass(frozen=True)
class AffineReluAffine:
    """x -> B relu(A x + c1) + C x + c2, the network whose moments are known in closed form.

    The two-stage linearization of a deeper network at a ReLU has this form (extension paper, section 3.3). C x stands
    for the paths that pass the ReLU by, as in a residual network; without such paths there is no C.

    Attributes:
        inner: A and c1, from the n inputs to the p units in front of the ReLU.
        outer: B and c2, from the p units behind the ReLU to the d logits.
        skip: C, from the n inputs to the d logits; None where nothing passes the ReLU by.
    """

    inner: AffineMap
    outer: AffineMap
    skip: Float[Tensor, "d n"] | None = None

    def __call__(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch d"]:
        """The network's own output, for comparison with what it stands for."""
        y = self.outer(torch.relu(self.inner(x)))
        return y if self.skip is None else y + x @ self.skip.mT

    def jacobian(self, point: Float[Tensor, " n"]) -> Float[Tensor, "d n"]:
        """Derivative at a point, B diag(A x + c1 > 0) A + C: where a Taylor model was made, that of the network."""
        through = (self.outer.weight * (self.inner(point) > 0)) @ self.inner.weight
        return through if self.skip is None else through + self.skip
