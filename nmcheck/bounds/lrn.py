"""Local response normalization: y_i = x_i D_i^-beta, D_i = bias + a sum over i's window of x_j^2, a = alpha/size.

The Jacobian is block diagonal over pixels, with ``J_ij = D_i^-b (delta_ij - 2 b a x_i x_j / D_i)`` for j in i's window.
Theorem 5.9 of the thesis, which this replaces, is false (docs/errata.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float

from nmcheck.bounds.norm_bound import NormBound
from nmcheck.bounds.rounding import ALLOWANCE, rounded_up
from nmcheck.execute.on_demand import Tensor, torch


@dataclass(frozen=True)
class LocalResponseNormalization:
    """The layer's parameters, named as in ONNX.

    Attributes:
        size: channels of a window: floor((size - 1)/2) before, ceil((size - 1)/2) behind.
        alpha: weight of the mean of squares; not negative.
        beta: exponent; not negative.
        bias: positive.

    Raises:
        ValueError: a parameter outside those ranges, where no constant is known.
    """

    size: int
    alpha: float
    beta: float
    bias: float

    def __post_init__(self) -> None:
        if self.size < 1 or self.alpha < 0 or self.beta < 0 or self.bias <= 0:
            raise ValueError(
                f"LRN with size {self.size}, alpha {self.alpha}, beta {self.beta}, bias {self.bias}: "
                "a constant is known only for size >= 1, alpha >= 0, beta >= 0 and bias > 0."
            )

    @property
    def offsets(self) -> range:
        """Offsets of the channels in a window."""
        return range(-((self.size - 1) // 2), self.size // 2 + 1)

    def denominators(self, x: Float[Tensor, "images channels *pixels"]) -> Float[Tensor, "images channels *pixels"]:
        """D_i at x."""
        return self.bias + self.alpha / self.size * self.window_sums(x * x)

    def __call__(self, x: Float[Tensor, "images channels *pixels"]) -> Float[Tensor, "images channels *pixels"]:
        """The layer itself."""
        return x * self.denominators(x) ** -self.beta

    def window_sums(self, x: Float[Tensor, "images channels *pixels"]) -> Float[Tensor, "images channels *pixels"]:
        """Sum of x over every channel's window."""
        return torch.stack([shifted(x, offset) for offset in self.offsets]).sum(dim=0)


def shifted(x: Float[Tensor, "images channels *pixels"], offset: int) -> Float[Tensor, "images channels *pixels"]:
    """x_{i + offset} at channel i, zero outside."""
    channels = x.shape[1]
    result = torch.zeros_like(x)
    low, high = max(0, -offset), min(channels, channels - offset)
    if low < high:
        result[:, low:high] = x[:, low + offset : high + offset]
    return result


def global_bound(layer: LocalResponseNormalization, channels: int) -> NormBound:
    """A Lipschitz constant on the whole space.

    ``bias^-b`` where a window is one channel or always all of them (exact: J is then symmetric with eigenvalues D^-b
    and D^-b (1 - 2 b p), p = a |x|^2 / D). Otherwise ``bias^-b (1 + 2 b sqrt(2 m))`` with
    ``m = (2b/(2b+1))^(2b) / (2b+1)``: the shares a x_i^2 / D_i of either half-window sum to less than one.
    """
    optimum = layer.bias**-layer.beta
    if layer.size == 1 or layer.size >= 2 * channels - 1:
        return NormBound(rounded_up(optimum), "LRN, exact")
    twice = 2 * layer.beta
    share = (twice / (twice + 1)) ** twice / (twice + 1)
    return NormBound(rounded_up(optimum * (1 + twice * math.sqrt(2 * share))), "LRN, global")


def local_bound(
    layer: LocalResponseNormalization,
    centre: Float[Tensor, "images channels *pixels"],
    radius: Float[Tensor, " images"],
) -> Float[Tensor, " images"]:
    """A Lipschitz constant on the ball of ``radius`` around ``centre``, for each image.

    Entrywise |J| <= U, with |x_i| <= |x0_i| + rho and D_i between bias + a max(0, |x0_window| - rho)^2 and
    bias + a (|x0_window| + rho)^2, and a |x_i x_j| / D_i <= 1/2 off the diagonal; then
    sqrt(max row sum of U * max column sum of U), the largest over pixels, or the global constant where that is smaller.
    Grows with the radius. Rounding allowance included.
    """
    a, b = layer.alpha / layer.size, layer.beta
    rho = radius.reshape(-1, *[1] * (centre.ndim - 1))
    size = centre.abs()
    window = layer.window_sums(size * size).sqrt()
    low = layer.bias + a * (window - rho).clamp(min=0) ** 2
    high = layer.bias + a * (window + rho) ** 2
    reach = size + rho
    power = low**-b
    largest_share = (a * reach**2 / low).clamp(max=1)
    smallest_share = a * (size - rho).clamp(min=0) ** 2 / high
    # |1 - 2 b p| for p between the two shares.
    diagonal = power * torch.maximum(1 - 2 * b * smallest_share, 2 * b * largest_share - 1)
    rows, columns = diagonal.clone(), diagonal.clone()
    exists = torch.ones_like(centre)
    for offset in layer.offsets:
        if offset:
            share = (a * reach * shifted(reach, offset) / low).clamp(max=0.5) * shifted(exists, offset)
            entries = 2 * b * power * share
            rows += entries
            columns += shifted(entries, -offset)
    norms = (rows.amax(dim=1) * columns.amax(dim=1)).sqrt().reshape(len(centre), -1).amax(dim=1)
    return (norms * (1 + ALLOWANCE)).clamp(max=global_bound(layer, centre.shape[1]).value)
