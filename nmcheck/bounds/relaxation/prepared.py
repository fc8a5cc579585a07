"""The steps of a network, each with what it needs to be bounded: made once a network, used for every region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nmcheck.bounds.lrn import LocalResponseNormalization
from nmcheck.bounds.relaxation.interval import ROUNDING, Interval, magnitude_of
from nmcheck.bounds.relaxation.lines import (
    Enclosure,
    Lines,
    Points,
    enclosure,
    flat_where_nearer,
    piecewise_linear_points,
    second_lines,
    smooth_allowance,
    smooth_points,
)
from nmcheck.bounds.relaxation.magnitude import Magnitude
from nmcheck.bounds.relaxation.maximum import Planes, contested, maximum_planes, second_planes
from nmcheck.bounds.relaxation.product import product_planes, product_range
from nmcheck.bounds.relaxation.response import gains, response, response_lines, response_range
from nmcheck.bounds.relaxation.selection import SelectedPlanes, Selection
from nmcheck.bounds.relaxation.substitution import (
    AffineSubstitution,
    ElementwiseSubstitution,
    Mixable,
    PlaneSubstitution,
    Pull,
    Substitution,
)
from nmcheck.bounds.rounding import ALLOWANCE
from nmcheck.steps import Bound

Masks = tuple[Bool[Tensor, "images *value"] | None, ...]
Radii = Sequence[Float[Tensor, " images"]]


@runtime_checkable
class Prepared(Protocol):
    """A step that can be bounded on a region."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values read."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the values written."""
        ...

    @property
    def affine(self) -> bool:
        """Whether it is affine, so that going through it backward loses nothing."""
        ...

    def wanted(self, inputs: Sequence[Interval]) -> Masks:
        """The elements of each input whose bounds it pays to tighten, or None for none."""
        ...

    def advance(self, inputs: Sequence[Interval], radii: Radii) -> tuple[tuple[Interval, ...], Substitution]:
        """Bounds of the outputs from bounds of the inputs, and the step ready to be gone through backward.

        Args:
            inputs: bounds of the inputs.
            radii: how far each input can move in the Euclidean norm; infinite where that is not known.
        """
        ...

    def second(self, inputs: Sequence[Interval], first: Substitution) -> Mixable | None:
        """Another choice of lines for the same bounds, to be mixed with the first; None if there is none."""
        ...


@dataclass(frozen=True)
class PreparedAffine:
    """An affine step.

    Attributes:
        inputs: names of the values read.
        outputs: names of the values written.
        function: of a batch of each input to a tuple of batches.
        pull: its transpose.
        offsets: its value at zero, (1, *output) each.
        magnitude: |W| of batches of non-negative tensors.
        rows: norms of the rows of W by output and input, (1, *output) each; None where they are not known.
        affine: always.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Callable[..., tuple[Tensor, ...]]
    pull: Pull
    offsets: tuple[Tensor, ...]
    magnitude: Magnitude
    rows: tuple[tuple[Tensor, ...], ...] | None
    affine: bool = True

    def wanted(self, inputs: Sequence[Interval]) -> Masks:
        """None: an affine step depends on no bounds."""
        return (None,) * len(inputs)

    def advance(self, inputs: Sequence[Interval], radii: Radii) -> tuple[tuple[Interval, ...], Substitution]:
        """Interval arithmetic, intersected with ``centre +- |row| radius``, the row's norm times the input's ball."""
        centres = self.function(*(x.centre for x in inputs))
        middles = self.function(*((x.low + x.high) / 2 for x in inputs))
        spreads = self.magnitude(*((x.high - x.low) / 2 for x in inputs))
        terms = self.magnitude(*(x.size for x in inputs))
        sizes = tuple(term + offset.abs() for term, offset in zip(terms, self.offsets, strict=True))
        found: list[Interval] = []
        for position, (centre, middle, spread, size) in enumerate(zip(centres, middles, spreads, sizes, strict=True)):
            reach = spread + ROUNDING * size
            interval = Interval(centre, middle - reach, middle + reach, size)
            if self.rows is not None and all(bool(torch.isfinite(radius).all()) for radius in radii):
                moved = torch.stack(
                    [row * along(radius, centre) for row, radius in zip(self.rows[position], radii, strict=True)]
                ).sum(dim=0)
                interval = interval.within(moved * (1 + ALLOWANCE))
            found.append(interval)
        return tuple(found), AffineSubstitution(self.pull, self.offsets, sizes)

    def second(self, inputs: Sequence[Interval], first: Substitution) -> Mixable | None:
        """None."""
        return None


@dataclass(frozen=True)
class PreparedElementwise:
    """A function of single elements.

    Attributes:
        inputs: name of the value read.
        outputs: name of the value written.
        function: of a batch.
        kinks: where a derivative jumps.
        curvature: bound of |f''| between kinks on given intervals; None for a function that is linear there.
        increasing: whether the range over an interval is that between its ends.
        affine: never.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Callable[[Tensor], Tensor]
    kinks: tuple[Bound, ...]
    curvature: Callable[[Tensor, Tensor], Bound] | None
    increasing: bool
    affine: bool = False

    def wanted(self, inputs: Sequence[Interval]) -> Masks:
        """Elements with a kink strictly inside their interval; all of a curved function's."""
        (x,) = inputs
        if self.curvature is not None:
            return (x.high > x.low,)
        mask = torch.zeros_like(x.low, dtype=torch.bool)
        for kink in self.kinks:
            mask |= (x.low < kink) & (x.high > kink)
        return (mask,)

    def advance(self, inputs: Sequence[Interval], radii: Radii) -> tuple[tuple[Interval, ...], Substitution]:
        """The lines and the range."""
        (x,) = inputs
        found = self._enclosure(x)
        lines = found.lines if self.curvature is None else flat_where_nearer(found, x.low, x.high)
        size = torch.maximum(magnitude_of(found.least, found.most), _line_size(lines, x.size))
        return (Interval(self.function(x.centre), found.least, found.most, size),), ElementwiseSubstitution(lines)

    def second(self, inputs: Sequence[Interval], first: Substitution) -> Mixable | None:
        """Lines that touch near an end of the interval."""
        assert isinstance(first, ElementwiseSubstitution)
        (x,) = inputs
        points, allowance = self._points(x)
        return ElementwiseSubstitution(second_lines(self.function, points, allowance, first.lines))

    def is_relu(self, shape: tuple[int, ...]) -> bool:
        """Whether it is linear on either side of zero, and has ReLU's values there.

        Args:
            shape: of the value read.
        """
        if self.curvature is not None or not all(bool((torch.as_tensor(kink) == 0).all()) for kink in self.kinks):
            return False
        ones = torch.ones((1, *shape), dtype=torch.float64)
        return all(bool((self.function(value * ones) == max(value, 0.0)).all()) for value in (-2.0, -1.0, 1.0, 2.0))

    def _enclosure(self, x: Interval) -> Enclosure:
        points, allowance = self._points(x)
        return enclosure(x.low, x.high, self.function, points, allowance, increasing=self.increasing)

    def _points(self, x: Interval) -> tuple[Points, Bound]:
        if self.curvature is None:
            return piecewise_linear_points(x.low, x.high, self.kinks), 0.0
        points = smooth_points(x.low, x.high, tuple(float(kink) for kink in self.kinks))
        return points, smooth_allowance(x.low, x.high, self.curvature(x.low, x.high))


@dataclass(frozen=True)
class PreparedMaximum:
    """The largest of several values.

    Attributes:
        inputs: names of the values read.
        outputs: name of the value written.
        taps: of a batch of each input to batches of the values compared.
        pull: the taps transposed.
        selection: where the taps are in the one value read; None if there are several, or they are not told.
        affine: never.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    taps: Callable[..., tuple[Tensor, ...]]
    pull: Pull
    selection: Selection | None
    affine: bool = False

    def wanted(self, inputs: Sequence[Interval]) -> Masks:
        """Elements that can be the largest where several can."""
        low, high = self._ends(inputs)
        marks = self.pull(*contested(low, high).to(low.dtype).unbind(0))
        return tuple(mark != 0 for mark in marks)

    def advance(self, inputs: Sequence[Interval], radii: Radii) -> tuple[tuple[Interval, ...], Substitution]:
        """The planes, and the largest lower and upper end."""
        low, high = self._ends(inputs)
        centre = torch.stack(self.taps(*(x.centre for x in inputs)))
        planes = maximum_planes(low, high)
        least, most = low.amax(dim=0), high.amax(dim=0)
        size = torch.stack(self.taps(*(x.size for x in inputs))).abs()
        # A tap outside the input is a far-away number that is no term of anything.
        size = torch.where(high > least, size, 0).amax(dim=0)
        size = torch.stack([size, magnitude_of(least, most), planes.upper_constant.abs()]).amax(dim=0)
        return (Interval(centre.amax(dim=0), least, most, size),), self._substitution(planes)

    def second(self, inputs: Sequence[Interval], first: Substitution) -> Mixable | None:
        """Planes with other slopes."""
        return self._substitution(second_planes(*self._ends(inputs)))

    def _substitution(self, planes: Planes) -> SelectedPlanes | PlaneSubstitution:
        if self.selection is not None:
            return SelectedPlanes(
                self.selection, planes.lower, planes.lower_constant, planes.upper, planes.upper_constant
            )
        return PlaneSubstitution(
            planes.lower.unbind(0), planes.lower_constant, planes.upper.unbind(0), planes.upper_constant, self.pull
        )

    def _ends(self, inputs: Sequence[Interval]) -> tuple[Tensor, Tensor]:
        """Ends of the taps' intervals; a minimum compares negatives, whose ends change places."""
        one = torch.stack(self.taps(*(x.low for x in inputs)))
        other = torch.stack(self.taps(*(x.high for x in inputs)))
        return torch.minimum(one, other), torch.maximum(one, other)


@dataclass(frozen=True)
class PreparedProduct:
    """The product of two values.

    Attributes:
        inputs: names of the two values.
        outputs: name of the value written.
        expand: of a batch of each factor to batches of the product's shape.
        pull: that, transposed.
        affine: never.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    expand: Callable[..., tuple[Tensor, ...]]
    pull: Pull
    affine: bool = False

    def wanted(self, inputs: Sequence[Interval]) -> Masks:
        """All that is not constant."""
        return tuple(x.high > x.low for x in inputs)

    def advance(self, inputs: Sequence[Interval], radii: Radii) -> tuple[tuple[Interval, ...], Substitution]:
        """McCormick's planes, and the range of the four corners."""
        x, y = (self._expanded(inputs, position) for position in range(2))
        planes = product_planes(x, y, self.pull)
        least, most = product_range(x, y)
        size = x.size * y.size
        size = torch.maximum(size, torch.maximum(planes.lower_constant.abs(), planes.upper_constant.abs()))
        return (Interval(x.centre * y.centre, least, most, size),), planes

    def second(self, inputs: Sequence[Interval], first: Substitution) -> Mixable | None:
        """The planes that were not chosen."""
        x, y = (self._expanded(inputs, position) for position in range(2))
        return product_planes(x, y, self.pull, other=True)

    def _expanded(self, inputs: Sequence[Interval], position: int) -> Interval:
        fields = ("centre", "low", "high", "size")
        return Interval(*(self.expand(*(getattr(x, name) for x in inputs))[position] for name in fields))


@dataclass(frozen=True)
class PreparedResponse:
    """Local response normalization.

    Attributes:
        inputs: name of the value read.
        outputs: name of the value written.
        layer: its parameters.
        affine: never.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layer: LocalResponseNormalization
    affine: bool = False

    def wanted(self, inputs: Sequence[Interval]) -> Masks:
        """None: the gain hardly depends on the bounds, and tightening them costs a pass for every element."""
        return (None,)

    def advance(self, inputs: Sequence[Interval], radii: Radii) -> tuple[tuple[Interval, ...], Substitution]:
        """The lines for the gain's interval."""
        (x,) = inputs
        low_gain, high_gain = gains(self.layer, x, radii[0])
        lines = response_lines(low_gain, high_gain, x)
        least, most = response_range(low_gain, high_gain, x)
        size = torch.maximum(magnitude_of(least, most), _line_size(lines, x.size))
        return (Interval(response(self.layer, x.centre), least, most, size),), ElementwiseSubstitution(lines)

    def second(self, inputs: Sequence[Interval], first: Substitution) -> Mixable | None:
        """None."""
        return None


def along(radius: Float[Tensor, " images"], value: Tensor) -> Tensor:
    """A number an image, to be multiplied with a tensor of shape (images, *value)."""
    return radius.reshape(-1, *[1] * (value.ndim - 1))


def _line_size(lines: Lines, size: Tensor) -> Tensor:
    slopes = torch.maximum(lines.lower_slope.abs(), lines.upper_slope.abs())
    constants = torch.maximum(lines.lower_constant.abs(), lines.upper_constant.abs())
    return torch.maximum(slopes * size, constants)
