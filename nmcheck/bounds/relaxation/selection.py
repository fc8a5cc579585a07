"""The values a maximum compares, as what they are: elements of its input, picked and perhaps negated.

Knowing the places, coefficients go back to them by indexing. Where no element is picked twice, as by windows that do
not overlap, each input element has one output element, and going backward is an elementwise matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nmcheck.bounds.relaxation.rows import rows_of
from nmcheck.bounds.relaxation.substitution import (
    EachItsOwn,
    Mixable,
    Owner,
    Substituted,
    Substitution,
    mixture,
    owned,
    total,
)


@dataclass(frozen=True)
class Selection:
    """Which element of the input every tap is.

    Attributes:
        shape: of the input.
        place: position of the element in the flattened input; 0 where the tap is none of its elements.
        sign: 1, -1 for a negated element, 0 for none.
        once: whether no element is picked twice.
    """

    shape: tuple[int, ...]
    place: Int[Tensor, "taps outputs"]
    sign: Float[Tensor, "taps outputs"]
    once: bool

    def spread(self, parts: Float[Tensor, "taps rows outputs"]) -> Float[Tensor, "rows inputs"]:
        """The transpose: sums over the taps each input element is, one tap after the other."""
        result = parts.new_zeros((parts.shape[1], math.prod(self.shape)))
        for part, place, sign in zip(parts, self.place, self.sign, strict=True):
            result.index_add_(1, place, part * sign)
        return result

    def window(self) -> Int[Tensor, " inputs"]:
        """For each input element the output element it is compared for, where there is at most one; else 0."""
        found = torch.zeros(math.prod(self.shape), dtype=torch.long)
        outputs = torch.arange(self.place.shape[1]).expand_as(self.place)
        found[self.place[self.sign != 0]] = outputs[self.sign != 0]
        return found


def selection_of(taps: Callable[..., tuple[Tensor, ...]], shape: Sequence[int]) -> Selection | None:
    """The places of taps of one value, told by what they make of the numbers 1, 2, 3, ... and of twice those.

    None if some tap is neither an element of the input nor a constant.
    """
    count = math.prod(shape)
    numbers = torch.arange(1, count + 1, dtype=torch.float64).reshape(tuple(shape))
    one = torch.stack([tap.flatten() for tap in taps(numbers)])
    other = torch.stack([tap.flatten() for tap in taps(2 * numbers)])
    constant = one == other
    picked: Bool[Tensor, "taps outputs"] = ~constant
    place = one.abs()
    if not bool(((other == 2 * one) & (place <= count) & (place == place.round()))[picked].all()):
        return None
    sign = torch.where(picked, one.sign(), 0)
    place = torch.where(picked, place - 1, 0).long()
    return Selection(tuple(shape), place, sign, len(place[picked].unique()) == int(picked.sum()))


@dataclass(frozen=True)
class SelectedPlanes:
    """Planes over taps that are elements of one input (``maximum``), ready to be gone through backward.

    Attributes:
        selection: where the taps are.
        lower: slopes of the lower plane, (taps, images, *output).
        lower_constant: (images, *output).
        upper: slopes of the upper plane.
        upper_constant: (images, *output).
    """

    selection: Selection
    lower: Tensor
    lower_constant: Tensor
    upper: Tensor
    upper_constant: Tensor

    @property
    def table(self) -> Tensor:
        """Constants below."""
        return self.lower_constant

    def mixed(self, other: Mixable, below: Tensor, above: Tensor, owner: Owner) -> Substitution:
        """The mixture for each spec."""
        assert isinstance(other, SelectedPlanes)
        return EachItsOwn(
            SelectedPlanes(
                self.selection,
                torch.lerp(self.lower[:, owner], other.lower[:, owner], below.expand(len(self.lower), *below.shape)),
                mixture(self.lower_constant, other.lower_constant, below, owner),
                torch.lerp(self.upper[:, owner], other.upper[:, owner], above.expand(len(self.upper), *above.shape)),
                mixture(self.upper_constant, other.upper_constant, above, owner),
            )
        )

    def __call__(self, coefficients: tuple[Tensor, ...], owner: Owner) -> Substituted:
        """Take the lower plane where the coefficient is positive, else the upper."""
        A = rows_of(coefficients[0])
        size = A.abs()
        constant = total(A, (self.lower_constant + self.upper_constant) / 2, owner)
        constant = constant - total(size, (self.upper_constant - self.lower_constant) / 2, owner)
        middle, half = (self.lower + self.upper) / 2, (self.upper - self.lower) / 2
        through = self._once(A, middle, half, owner) if self.selection.once else self._often(A, middle, half, owner)
        return Substituted((through.reshape(-1, *self.selection.shape),), constant, torch.zeros_like(constant))

    def _once(self, A: Tensor, middle: Tensor, half: Tensor, owner: Owner) -> Tensor:
        near = A.index_select(1, self.selection.window())
        result = near * owned(self._slopes(middle), owner)
        return result.addcmul_(near.abs(), owned(self._slopes(half), owner), value=-1)

    def _slopes(self, table: Tensor) -> Tensor:
        """Each input element's slope, (images, inputs)."""
        return self.selection.spread(torch.stack([rows_of(tap) for tap in table]))

    def _often(self, A: Tensor, middle: Tensor, half: Tensor, owner: Owner) -> Tensor:
        size = A.abs()
        parts = [
            A * owned(rows_of(mean), owner) - size * owned(rows_of(difference), owner)
            for mean, difference in zip(middle, half, strict=True)
        ]
        return self.selection.spread(torch.stack(parts))
