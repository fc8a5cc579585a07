"""The two norms a perturbation is measured in, and what an attack needs to know about them."""

from __future__ import annotations

from enum import Enum

import torch
from jaxtyping import Float
from torch import Tensor


class Norm(Enum):
    """Norm of a perturbation over all elements of a sample."""

    L2 = "l2"
    LINF = "linf"

    def of(self, change: Float[Tensor, "images *sample"]) -> Float[Tensor, " images"]:
        """Norm of each image's change."""
        return torch.linalg.vector_norm(change.flatten(1), ord=2 if self is Norm.L2 else torch.inf, dim=1)

    def dual(self, slope: Float[Tensor, "images *sample"]) -> Float[Tensor, " images"]:
        """The most a linear function of this slope grows on the unit ball: its 2-norm, or 1-norm for Linf."""
        return torch.linalg.vector_norm(slope.flatten(1), ord=2 if self is Norm.L2 else 1, dim=1)

    def steepest(self, slope: Float[Tensor, "images *sample"]) -> Float[Tensor, "images *sample"]:
        """The change of norm 1 along which that linear function grows most; zero where the slope is zero.

        slope / ||slope||_2 in L2, its signs in Linf.
        """
        if self is Norm.LINF:
            return slope.sign()
        # Scaled by the largest element first: squares of slopes below 1e-19 are zero in float32.
        largest = per_image(slope.flatten(1).abs().amax(dim=1), slope)
        scaled = slope / torch.where(largest > 0, largest, 1)
        length = per_image(self.of(scaled), slope)
        return scaled / torch.where(length > 0, length, 1)

    def project(
        self, change: Float[Tensor, "images *sample"], radius: Float[Tensor, " images"]
    ) -> Float[Tensor, "images *sample"]:
        """The nearest change of at most that norm."""
        limit = per_image(radius, change)
        if self is Norm.LINF:
            return torch.minimum(torch.maximum(change, -limit), limit)
        length = per_image(self.of(change), change)
        return change * torch.where(length > limit, limit / torch.where(length > 0, length, 1), 1)


def per_image(values: Float[Tensor, " images"], like: Float[Tensor, "images *sample"]) -> Float[Tensor, "images *ones"]:
    """One number an image, shaped to multiply the images."""
    return values.reshape(-1, *([1] * (like.ndim - 1)))
