"""What is seen of a network's outputs as they come in batches: their range, their size, and which was the largest."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nmcheck.decision import predicted_class

_LARGEST = 150
"""Exponent of two that an output's unit is held within, so that third powers of squares stay finite."""


class SeenOutputs:
    """What is seen of the outputs as they come: their range, and which was the largest.

    Attributes:
        shift: the first output seen, which all are counted from.
        unit: a power of two of the size of the first batch's deviations from it, by which scaling changes no digit.
        winners: how many trials had each output as their largest.
    """

    def __init__(self) -> None:
        self.shift = self.unit = torch.zeros(0)
        self.winners = torch.zeros(0, dtype=torch.int64)
        self._low = self._high = torch.zeros(0)

    def add(self, outputs: Float[Tensor, "batch d"], *, trial: bool = True) -> Float[Tensor, "batch d"]:
        """Take a batch in, as flip trials or not, and give it back less the shift."""
        f = outputs.double()
        if not len(self.shift):
            self.shift = f[0].clone()
            deviation = (f - self.shift).abs().amax(dim=0)
            exponent = torch.where(deviation > 0, deviation, 1.0).log2().round()
            self.unit = torch.where(exponent.isfinite(), exponent.clamp(-_LARGEST, _LARGEST).exp2(), 1.0)
            self.winners = torch.zeros(outputs.shape[1], dtype=torch.int64)
            self._low, self._high = self.shift, self.shift
        self._low = torch.minimum(self._low, f.amin(dim=0))
        self._high = torch.maximum(self._high, f.amax(dim=0))
        if trial:
            self.winners = self.winners + torch.bincount(predicted_class(outputs), minlength=outputs.shape[1])
        return f - self.shift

    def rounding(self, relative: float) -> Float[Tensor, " d"]:
        """Eta: rounding of an output, relative to its own size, or to the middle one of all where that is larger.

        Its own terms cancel in a small output; those of classes that are masked by a huge constant are not its own, so
        that outputs which never differ have no part in it.
        """
        size, moving = torch.maximum(self._low.abs(), self._high.abs()), self._high > self._low
        return relative * (torch.maximum(size, size[moving].median()) if bool(moving.any()) else size)

    def moved(self, eta: Float[Tensor, " d"]) -> Bool[Tensor, " d"]:
        """Whether outputs differed by more than rounding."""
        return self._high - self._low > 2.0 * eta
