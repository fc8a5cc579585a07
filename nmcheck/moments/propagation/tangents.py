"""Tangents of a value: one row for every direction of the input's noise, or for every color of pixels.

With independent noise in every pixel there is a direction a pixel, and behind a convolution a direction moves only the
elements whose receptive field holds its pixel. Pixels further apart than the receptive field is wide therefore share
a row, a *color*, as columns do in the compression of sparse Jacobians (Curtis, Powell and Reid 1974): no element sees
two of them. Pixel (c, y, x) has the color (c, y mod D, x mod D'), with D at least the receptive field's height and D'
its width. As the field grows the rows are dealt out to more colors, up to one a pixel. Nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from nmcheck.steps import Locality

CHUNK = 64
"""Rows squared and summed at once."""
PUSHED = 2**21
"""Numbers pushed through a step at once: 8 MiB in float32. Fewer would read a dense layer's weights too often."""
Pair = tuple[int, int]


@dataclass(frozen=True)
class Sight:
    """The receptive field of a value's elements, along the last two axes.

    Position o sees pixels first + o * jump, ..., first + o * jump + extent - 1 of the input.

    Attributes:
        jump: pixels from one position's field to the next one's.
        first: the first pixel of position 0; negative in the padding.
        extent: pixels in a field.
    """

    jump: Pair = (1, 1)
    first: Pair = (0, 0)
    extent: Pair = (1, 1)

    def through(self, locality: Locality) -> Sight:
        """The field behind a step."""
        return Sight(
            jump=_pair(lambda a: self.jump[a] * locality.stride[a]),
            first=_pair(lambda a: self.first[a] - self.jump[a] * locality.begin[a]),
            extent=_pair(lambda a: self.extent[a] + self.jump[a] * (locality.extent[a] - 1)),
        )

    def joined(self, other: Sight) -> Sight | None:
        """A field that holds both; None where the positions of the two lie at different pixels."""
        if self.jump != other.jump:
            return None
        first = _pair(lambda a: min(self.first[a], other.first[a]))
        end = _pair(lambda a: max(self.first[a] + self.extent[a], other.first[a] + other.extent[a]))
        return Sight(self.jump, first, _pair(lambda a: end[a] - first[a]))


@dataclass(frozen=True)
class Coloring:
    """Which pixels share a row.

    Attributes:
        channels: channels of the input; never shared.
        pixels: height and width of the input.
        period: D and D', the distance of pixels of a color.
        sight: the receptive field of the value's elements.
    """

    channels: int
    pixels: Pair
    period: Pair
    sight: Sight

    @property
    def is_full(self) -> bool:
        """Whether every pixel has a row of its own."""
        return self.period == self.pixels

    def needed(self, sight: Sight) -> Pair:
        """The smallest period that keeps pixels apart that a field of ``sight`` holds."""
        return _pair(lambda a: min(self.pixels[a], sight.extent[a]))


@dataclass(frozen=True)
class Tangents:
    """First-order response of a value to the input's noise; rows are scaled so that their sum of squares is a variance.

    Attributes:
        rows: shape (rows, *value).
        coloring: which pixels share a row; None where rows are not those of pixels.
    """

    rows: Tensor
    coloring: Coloring | None

    def variance(self) -> Tensor:
        """Sum of squares over the rows, of the value's shape."""
        total = self.rows[:CHUNK].square().sum(dim=0)
        for part in self.rows[CHUNK:].split(CHUNK):
            total = total + part.square().sum(dim=0)
        return total

    def scaled(self, factor: Tensor) -> Tangents:
        """Every row times a tensor that broadcasts against the value."""
        return replace(self, rows=self.rows * factor)

    def recolored(self, period: Pair) -> Tangents:
        """The same tangents with pixels dealt out to a period that is no shorter."""
        coloring = self.coloring
        if coloring is None or coloring.period == period:
            return self
        value = self.rows.shape[1:]
        rows = self.rows.reshape(coloring.channels, *coloring.period, -1, *value[-2:])
        for axis in (0, 1):
            if period[axis] != coloring.period[axis]:
                rows = _dealt_out(rows, axis, period[axis], coloring)
        return Tangents(rows.reshape(-1, *value), replace(coloring, period=period))

    def columns(self, units: Tensor) -> Tensor:
        """The responses of some elements to every direction, shape (directions, units).

        Args:
            units: positions of the elements in the flattened value.
        """
        found = self.rows.flatten(1)[:, units]
        coloring = self.coloring
        if coloring is None or coloring.is_full:
            return found
        height, width = self.rows.shape[-2:]
        places = ((units // width) % height, units % width)
        found = found.reshape(coloring.channels, *coloring.period, len(units))
        for axis in (0, 1):
            pixel = torch.arange(coloring.pixels[axis], device=units.device)[:, None]
            first = coloring.sight.first[axis] + coloring.sight.jump[axis] * places[axis]
            seen = (pixel >= first) & (pixel < first + coloring.sight.extent[axis])
            found = found.index_select(1 + axis, pixel[:, 0] % coloring.period[axis])
            found = found * seen.to(found).reshape(-1, *(1,) * (1 - axis), len(units))
        return found.reshape(-1, len(units))

    def full(self) -> Tangents:
        """A row a pixel, or a direction."""
        return self if self.coloring is None else self.recolored(self.coloring.pixels)


def joint_coloring(
    colorings: Sequence[Coloring | None], shapes: Sequence[Sequence[int]], locality: Locality | None
) -> tuple[Pair | None, Sight]:
    """How far a step's inputs must be dealt out for its outputs to keep pixels apart, and the outputs' fields.

    Args:
        colorings: of the inputs.
        shapes: theirs.
        locality: the step's.

    Returns:
        The period, None for a row a pixel, and the receptive field, without meaning there.
    """
    known = [coloring for coloring in colorings if coloring is not None]
    if locality is None or len(known) < len(colorings) or len({tuple(shape[-2:]) for shape in shapes}) > 1:
        return None, Sight()
    sight = known[0].sight
    for coloring in known[1:]:
        joined = sight.joined(coloring.sight)
        if joined is None:
            return None, Sight()
        sight = joined
    sight = sight.through(locality)
    needed = known[0].needed(sight)
    return _pair(lambda a: max(needed[a], *(coloring.period[a] for coloring in known))), sight


def brought_together(tangents: Sequence[Tangents], locality: Locality | None) -> tuple[tuple[Tangents, ...], Sight]:
    """Tangents of a step's inputs with the same rows, as many as its outputs need, and the outputs' receptive field."""
    colorings = [one.coloring for one in tangents]
    period, sight = joint_coloring(colorings, [one.rows.shape for one in tangents], locality)
    return tuple(one.full() if period is None else one.recolored(period) for one in tangents), sight


def pushed(
    tangents: Sequence[Tangents], locality: Locality | None, push: Callable[..., tuple[Tensor, ...]]
) -> tuple[Tangents, ...]:
    """Rows through a linear function of one row of each input, which yields one of each output."""
    together, sight = brought_together(tangents, locality)
    rows = batched(push)(*(one.rows for one in together))
    coloring = together[0].coloring
    # An Expand makes views in which elements share memory, of which torch takes no further derivatives.
    rows = tuple(one.contiguous() for one in rows)
    return tuple(Tangents(one, None if coloring is None else replace(coloring, sight=sight)) for one in rows)


def batched(function: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, ...]]:
    """A function of values as one of rows of them, as many at a time as ``PUSHED`` allows."""

    def of_rows(*rows: Tensor) -> tuple[Tensor, ...]:
        largest = max(one[0].numel() for one in rows)
        return torch.func.vmap(function, chunk_size=max(1, PUSHED // max(1, largest)))(*rows)

    return of_rows


def pixel_coloring(shape: Sequence[int]) -> Coloring | None:
    """All pixels of a channel in one row, by the last two axes of an image; None for an input that is none."""
    if len(shape) < 3 or min(shape[-2:]) < 2:
        return None
    return Coloring(prod(shape[:-2]), (shape[-2], shape[-1]), (1, 1), Sight())


def of_pixels(deviation: Tensor) -> Tangents:
    """Tangents of the input itself under independent noise of given standard deviations, which have its shape."""
    shape = deviation.shape
    coloring = pixel_coloring(shape)
    if coloring is None:
        return Tangents(torch.diag(deviation.reshape(-1)).reshape(-1, *shape), None)
    rows = torch.diag_embed(deviation.reshape(coloring.channels, -1).mT).permute(1, 2, 0)
    return Tangents(rows.reshape(coloring.channels, *shape), coloring)


def _dealt_out(rows: Tensor, axis: int, period: int, coloring: Coloring) -> Tensor:
    """Rows of shape (channels, D, D', rest, height, width) with another period along one axis.

    Position o holds, in the row of a color, the response to the one pixel of that color in its field.
    """
    sight, old = coloring.sight, coloring.period[axis]
    positions = torch.arange(rows.shape[4 + axis])
    first = sight.first[axis] + sight.jump[axis] * positions
    pixel = first + (torch.arange(period)[:, None] - first) % period
    seen = (pixel < first + sight.extent[axis]) & (pixel >= 0) & (pixel < coloring.pixels[axis])
    moved = rows.movedim((1 + axis, 4 + axis), (0, 1))
    found = moved[(pixel % old).to(rows.device), positions.to(rows.device)]
    seen = seen.to(rows).reshape(*seen.shape, *(1,) * (found.ndim - 2))
    return (found * seen).movedim((0, 1), (1 + axis, 4 + axis))


def _pair(of_axis: Callable[[int], int]) -> Pair:
    return of_axis(0), of_axis(1)
