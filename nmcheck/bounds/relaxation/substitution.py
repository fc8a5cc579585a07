"""One step backward: from coefficients of a step's outputs to coefficients of its inputs that bound from below.

Coefficients are a tensor of shape (specs, *value): every row asks for a lower bound of its own linear combination, at
the image ``owner`` says. Where a coefficient is positive the lower line of a relaxed function takes its place, where it
is negative the upper one; with mean m and half difference h of the two, that is ``A m - |A| h`` for both at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmcheck.bounds.relaxation.lines import Lines
from nmcheck.bounds.relaxation.rows import rows_of

Owner = Int[Tensor, " specs"]


@dataclass(frozen=True)
class Substituted:
    """What a step leaves.

    Attributes:
        coefficients: of the step's inputs, in their order.
        constant: what is added, (specs,).
        size: sum of the magnitudes of the terms summed, (specs,).
    """

    coefficients: tuple[Tensor, ...]
    constant: Tensor
    size: Tensor


@runtime_checkable
class Substitution(Protocol):
    """A step that knows its bounds at every image, ready to be gone through backward."""

    def __call__(self, coefficients: tuple[Tensor, ...], owner: Owner) -> Substituted:
        """Go from coefficients of the outputs to coefficients of the inputs."""
        ...


@runtime_checkable
class Mixable(Protocol):
    """A substitution between lines or planes of which there is a second choice.

    A mixture of two lines below a function is below it, too, whatever the weights; so weights may be optimized freely.
    """

    @property
    def table(self) -> Tensor:
        """One of its tables, (images, *output), for the weights' shape."""
        ...

    def mixed(self, other: Mixable, below: Tensor, above: Tensor, owner: Owner) -> Substitution:
        """The mixture for each spec.

        Args:
            other: the second choice, of the same class.
            below: its weight in the lower line, in [0, 1], (specs, *output).
            above: its weight in the upper line.
            owner: the image of each spec.
        """
        ...


Pull = Callable[..., tuple[Tensor, ...]]
"""An affine step transposed: of (specs, *output) for each output to (specs, *input) for each input."""


def owned(table: Float[Tensor, "images *value"], owner: Owner) -> Float[Tensor, "rows *value"]:
    """The rows of ``table`` for each spec; one row, to be broadcast, where all specs are of one image."""
    if len(table) == 1 or bool((owner == owner[0]).all()):
        return table[owner[:1]]
    return table[owner]


def total(coefficients: Float[Tensor, "specs *value"], table: Tensor, owner: Owner) -> Float[Tensor, " specs"]:
    """Sum over the value's elements of coefficient times the image's entry of ``table``."""
    rows = rows_of(owned(table, owner))
    flat = rows_of(coefficients)
    return flat @ rows[0] if len(rows) == 1 else (flat * rows).sum(dim=1)


@dataclass(frozen=True)
class AffineSubstitution:
    """Through an affine step nothing is lost.

    Attributes:
        pull: the step transposed.
        offsets: the step's value at zero for each output, each of shape (1, *output).
        sizes: ``|W| |x| + |offset|`` for each output, (images, *output).
    """

    pull: Pull
    offsets: tuple[Tensor, ...]
    sizes: tuple[Tensor, ...]

    def __call__(self, coefficients: tuple[Tensor, ...], owner: Owner) -> Substituted:
        """The transpose, and the offset."""
        first = torch.zeros_like(owner)
        constant = sum_of(total(A, offset, first) for A, offset in zip(coefficients, self.offsets, strict=True))
        size = sum_of(total(A.abs(), size, owner) for A, size in zip(coefficients, self.sizes, strict=True))
        return Substituted(self.pull(*coefficients), constant, size)


@dataclass(frozen=True)
class ElementwiseSubstitution:
    """Through a function of single elements, along its lines."""

    lines: Lines

    @property
    def table(self) -> Tensor:
        """Slopes below."""
        return self.lines.lower_slope

    def mixed(self, other: Mixable, below: Tensor, above: Tensor, owner: Owner) -> Substitution:
        """The mixture for each spec."""
        assert isinstance(other, ElementwiseSubstitution)
        one, two = self.lines, other.lines
        lines = Lines(
            mixture(one.lower_slope, two.lower_slope, below, owner),
            mixture(one.lower_constant, two.lower_constant, below, owner),
            mixture(one.upper_slope, two.upper_slope, above, owner),
            mixture(one.upper_constant, two.upper_constant, above, owner),
        )
        return EachItsOwn(ElementwiseSubstitution(lines))

    def __call__(self, coefficients: tuple[Tensor, ...], owner: Owner) -> Substituted:
        """Take the lower line where the coefficient is positive, else the upper."""
        (A,) = coefficients
        size, lines = A.abs(), self.lines
        through = A * owned((lines.lower_slope + lines.upper_slope) / 2, owner)
        through.addcmul_(size, owned((lines.upper_slope - lines.lower_slope) / 2, owner), value=-1)
        constant = total(A, (lines.lower_constant + lines.upper_constant) / 2, owner)
        constant = constant - total(size, (lines.upper_constant - lines.lower_constant) / 2, owner)
        return Substituted((through,), constant, torch.zeros_like(constant))


@dataclass(frozen=True)
class PlaneSubstitution:
    """Through a function of several parts, between two planes over them.

    Attributes:
        lower_slopes: a slope for each part, (images, *output) each.
        lower_constant: (images, *output).
        upper_slopes: the same above.
        upper_constant: (images, *output).
        pull: the parts transposed: from coefficients of the parts to those of the step's inputs.
    """

    lower_slopes: tuple[Tensor, ...]
    lower_constant: Tensor
    upper_slopes: tuple[Tensor, ...]
    upper_constant: Tensor
    pull: Pull

    @property
    def table(self) -> Tensor:
        """Constants below."""
        return self.lower_constant

    def mixed(self, other: Mixable, below: Tensor, above: Tensor, owner: Owner) -> Substitution:
        """The mixture for each spec."""
        assert isinstance(other, PlaneSubstitution)
        lower = zip(self.lower_slopes, other.lower_slopes, strict=True)
        upper = zip(self.upper_slopes, other.upper_slopes, strict=True)
        return EachItsOwn(
            PlaneSubstitution(
                tuple(mixture(one, two, below, owner) for one, two in lower),
                mixture(self.lower_constant, other.lower_constant, below, owner),
                tuple(mixture(one, two, above, owner) for one, two in upper),
                mixture(self.upper_constant, other.upper_constant, above, owner),
                self.pull,
            )
        )

    def __call__(self, coefficients: tuple[Tensor, ...], owner: Owner) -> Substituted:
        """Take the lower plane where the coefficient is positive, else the upper."""
        (A,) = coefficients
        size = A.abs()
        parts: list[Tensor] = []
        for lower, upper in zip(self.lower_slopes, self.upper_slopes, strict=True):
            part = A * owned((lower + upper) / 2, owner)
            part -= size * owned((upper - lower) / 2, owner)
            parts.append(part)
        constant = total(A, (self.lower_constant + self.upper_constant) / 2, owner)
        constant = constant - total(size, (self.upper_constant - self.lower_constant) / 2, owner)
        return Substituted(self.pull(*parts), constant, torch.zeros_like(constant))


@dataclass(frozen=True)
class EachItsOwn:
    """A substitution whose tables have a row for each spec instead of each image."""

    inner: Substitution

    def __call__(self, coefficients: tuple[Tensor, ...], owner: Owner) -> Substituted:
        """The same, every spec with its own row."""
        return self.inner(coefficients, torch.arange(len(owner)))


def mixture(one: Tensor, other: Tensor, weight: Tensor, owner: Owner) -> Tensor:
    """(1 - weight) one + weight other, with the tables' rows of each spec's image."""
    return torch.lerp(one[owner], other[owner], weight)


def sum_of(parts: object) -> Tensor:
    """The sum of at least one tensor."""
    return torch.stack(tuple(parts)).sum(dim=0)  # pyright: ignore[reportArgumentType]
