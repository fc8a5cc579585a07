"""Quadratic bounds of everything behind a first layer of ReLUs or maxima, in an L2 ball around each image.

Upper planes of a maximum are loosest where the image usually is, between two winners, and linear bounds pay that for
every unit, as if all of them could be at their worst at once. With parabolas (``parabola``) instead, whose values
compared are z + W d, going backward to the layer gives a function below the combination asked for that is quadratic in
the change d of the input: ``value + g.d - d'Pd`` with P = sum of |B| q w w' over all values compared in units whose
coefficient B is negative. Taking q = c / |B| makes it P = c W'mW, m counting how often a value is compared.

Lower end on |d| <= rho. By weak duality, for every lambda above the largest eigenvalue of P,

    -g.d + d'Pd <= lambda rho^2 + g'(lambda - P)^-1 g / 4.

The eigenvalue is at most Lambda = c max(m) L^2 with the certified Lipschitz constant L of W, and with a Neumann series,
whose rest is at most its last term times 1 / (1 - Lambda / lambda),

    g'(lambda - P)^-1 g <= |g|^2 / lambda + g'Pg / lambda^2 + |Pg|^2 / (lambda^2 (lambda - Lambda)).

That costs one step through W and one back, and holds for all combinations at once, without a matrix being made.

Rounding. A value compared is off by ``ROUNDING`` of its magnitude s, which adds to its square at most 4 ``ROUNDING``
s^2; W g is off by ``ROUNDING`` of |W| 1 times the largest entry of g, and of the offsets that are taken off again; a
step back from y by ``ROUNDING`` of the sum of |y| (|W| 1). Forms of W W' are off by ``ROUNDING`` of the square of such
a sum. All are added where they belong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.relaxation.interval import ROUNDING, Interval
from nmcheck.bounds.relaxation.parabola import Compared, parabola
from nmcheck.bounds.relaxation.prepared import Prepared, PreparedElementwise, PreparedMaximum
from nmcheck.bounds.relaxation.quadratics import Applied, Quadratics
from nmcheck.bounds.relaxation.relaxation import Descent, Relaxation, Relaxed
from nmcheck.bounds.relaxation.rows import rows_of
from nmcheck.bounds.relaxation.selection import SelectedPlanes, Selection
from nmcheck.bounds.relaxation.substitution import ElementwiseSubstitution, Owner, Substitution, total

MOST_TAPS = 17
"""Values compared by a unit; their number squared is looked at."""
MOST_ELEMENTS = 512
"""Compared, of which W W' is made: beyond, going through W is cheaper."""
_BEND = 1.4
"""Choice of c, in terms of norm(B) / (4 L epsilon), which would be best if P were Lambda and all heights 1 / (4 q)."""


@dataclass(frozen=True)
class Bent:
    """Coefficients of the values compared, once parabolas have come in.

    Attributes:
        reached: the descent down to the values compared.
        counts: m, how often each is compared in a parabola, (specs, elements).
        c: of each combination.
    """

    reached: Descent
    counts: Float[Tensor, "specs elements"]
    c: Float[Tensor, " specs"]


class CurvedLayer:
    """The first layer of ReLUs or maxima of a network in which everything goes through it.

    Args:
        relaxation: the network.
        position: of the layer among its steps.
        selection: the values it compares.
    """

    def __init__(self, relaxation: Relaxation, position: int, selection: Selection) -> None:
        self._relaxation, self._position, self._selection = relaxation, position, selection
        step = relaxation.steps[position]
        self._step, self._before, self._after = step, step.inputs[0], step.outputs[0]
        self._constant = relaxation.lipschitz(self._before)
        self._row_sums, offsets = relaxation.affine.pushed_size(self._before)
        self._off = ROUNDING * float(self._row_sums.norm()), ROUNDING * float(offsets.norm())

    @classmethod
    def of(cls, relaxation: Relaxation) -> CurvedLayer | None:
        """The layer of a network, or None where there is none of this kind."""
        position = relaxation.first_curve()
        if position is None or len(relaxation.steps[position].inputs) != 1:
            return None
        selection = _selection(relaxation.steps[position], relaxation)
        if selection is None:
            return None
        layer = cls(relaxation, position, selection)
        return layer if 0 < layer._constant < math.inf else None

    def straight(
        self, relaxed: Relaxed, value: str, seeds: Float[Tensor, "specs elements"], owner: Owner
    ) -> Float[Tensor, " specs"]:
        """What ``Relaxation.straight`` says, by a shorter way where few elements are compared."""
        few = math.prod(self._relaxation.network.shapes[self._before]) <= MOST_ELEMENTS
        if not few or relaxed.region.box is not None or not self._is_behind(value):
            return self._relaxation.straight(relaxed, value, seeds, owner)
        before = self._relaxation.descended(relaxed, value, seeds, owner, self._position)
        at_image, _, square = self._in_gram(relaxed, before, owner)
        return at_image - relaxed.region.epsilon[owner] * square.sqrt() * (1 + ROUNDING)

    def lowest(
        self, relaxed: Relaxed, value: str, seeds: Float[Tensor, "specs elements"], owner: Owner
    ) -> Float[Tensor, " specs"]:
        """Least values in the region of combinations of a value's elements, or less.

        Minus infinity for a value that is not computed from the layer. Other arguments as of ``bounds``.
        """
        if not self._is_behind(value):
            return torch.full((len(seeds),), -torch.inf, dtype=seeds.dtype)
        return self.bounds(relaxed, value, seeds, owner).lowest()

    def reach(self, relaxed: Relaxed, seeds: Float[Tensor, "specs classes"], owner: Owner) -> Float[Tensor, " specs"]:
        """Up to which radius quadratic bounds that hold in the region keep each combination positive; 0 if nowhere."""
        return self.bounds(relaxed, self._relaxation.network.output, seeds, owner).reach()

    def bounds(self, relaxed: Relaxed, value: str, seeds: Float[Tensor, "specs elements"], owner: Owner) -> Quadratics:
        """Quadratic functions below combinations of the elements of a value behind the layer.

        Args:
            relaxed: the network on its region, of an L2 norm, at least as far as ``value``.
            value: its name.
            seeds: the combinations; as many as fit in memory.
            owner: the image each is asked at.
        """
        behind = self._relaxation.descended(relaxed, value, seeds, owner, self._position + 1)
        before = self._relaxation.continued(relaxed, behind, owner, self._position)
        bent = self._bent(relaxed, behind, before, owner)
        elements = bent.counts.shape[1]
        applied = (self._by_gram if elements <= MOST_ELEMENTS else self._by_steps)(relaxed, bent, owner)
        epsilon = relaxed.region.epsilon[owner]
        return Quadratics.of(applied, bent.counts, bent.c, lipschitz=self._constant, epsilon=epsilon)

    def _bent(self, relaxed: Relaxed, behind: Descent, before: Descent, owner: Owner) -> Bent:
        """Parabolas, from what the layer is read with and what the linear planes make of that."""
        interval = relaxed.intervals[self._before]
        B = rows_of(behind.coefficients[self._after])
        units = B.shape[1]
        taps = self._compared(interval, units)
        spec, unit = ((B < 0) & taps.contested.reshape(-1, units)[owner]).nonzero(as_tuple=True)
        place = owner[spec] * units + unit
        weight = -B[spec, unit]
        epsilon = relaxed.region.epsilon[owner]
        norm = torch.zeros_like(epsilon).index_add_(0, spec, weight**2).sqrt()
        c = _BEND * norm / (4 * self._constant * epsilon).clamp(min=torch.finfo(norm.dtype).tiny)
        values = taps.at(place)
        slopes, height = parabola(values, (c[spec] / weight).clamp(min=torch.finfo(norm.dtype).tiny))
        planes, constants = _upper(relaxed.substitutions[self._position])
        plane, flat = planes.flatten(1)[:, place], constants.flatten()[place]
        plane = torch.where(values.variable, plane, 0)
        middle = torch.where(values.variable, values.middle, 0)
        used = height < (plane * middle).sum(dim=0) + flat
        spec, unit, place, weight = spec[used], unit[used], place[used], weight[used]
        slopes, height, plane, flat, middle = (
            slopes[:, used], height[used], plane[:, used], flat[used], middle[:, used]
        )  # fmt: skip
        variable = values.variable[:, used]
        start = height - (slopes * middle).sum(dim=0)
        # Minus the weight is the coefficient: the plane above goes out, the parabola comes in.
        constant = before.constant.index_add(0, spec, -weight * (start - flat))
        terms = height.abs() + (slopes * middle.abs()).sum(dim=0) + flat.abs()
        size = before.size.index_add(0, spec, weight * terms)
        elements = interval.centre[0].numel()
        coefficients = rows_of(before.coefficients[self._before]).clone(memory_format=torch.contiguous_format)
        counts = torch.zeros_like(coefficients)
        for tap in range(len(slopes)):
            chosen = variable[tap]
            where = spec[chosen] * elements + self._selection.place[tap, unit[chosen]]
            moved = -weight[chosen] * (slopes[tap] - plane[tap])[chosen] * self._selection.sign[tap, unit[chosen]]
            coefficients.view(-1).index_add_(0, where, moved)
            counts.view(-1).index_add_(0, where, torch.ones_like(moved))
        # Of the linear part of a square, and of the square of what a value compared is off by.
        squares = (counts * rows_of(interval.size).square()[owner]).sum(dim=1)
        size = size + 4 * c * squares
        shape = (len(coefficients), *self._relaxation.network.shapes[self._before])
        return Bent(Descent({self._before: coefficients.reshape(shape)}, constant, size), counts, c)

    def _by_gram(self, relaxed: Relaxed, bent: Bent, owner: Owner) -> Applied:
        """By the matrix W W'."""
        value, pushed, square = self._in_gram(relaxed, bent.reached, owner)
        a = rows_of(bent.reached.coefficients[self._before])
        masked = bent.counts * pushed
        turned = (masked @ self._relaxation.affine.gram(self._before) * masked).sum(dim=1)
        back = (turned + ROUNDING * (masked.abs() @ self._row_sums).square()).clamp(min=0).sqrt()
        return Applied(value, square, pushed, self._off[0] * (a.abs() @ self._row_sums), back)

    def _in_gram(self, relaxed: Relaxed, reached: Descent, owner: Owner) -> tuple[Tensor, Tensor, Tensor]:
        """With g = W'a for the coefficients a of the values compared: the value at the image, W g, and |g|^2."""
        interval = relaxed.intervals[self._before]
        a = rows_of(reached.coefficients[self._before])
        size = reached.size + total(a.abs(), interval.size, owner)
        pushed = a @ self._relaxation.affine.gram(self._before)
        square = (a * pushed).sum(dim=1) + ROUNDING * (a.abs() @ self._row_sums).square()
        value = reached.constant + total(a, interval.centre, owner) - ROUNDING * size
        return value, pushed, square.clamp(min=0)

    def _by_steps(self, relaxed: Relaxed, bent: Bent, owner: Owner) -> Applied:
        """Through the steps, without a matrix."""
        relaxation, shapes = self._relaxation, self._relaxation.network.shapes
        linear = relaxation.at_input(relaxed, relaxation.continued(relaxed, bent.reached, owner, 0), owner)
        g = linear.slope
        pushed = rows_of(relaxation.affine.pushed(self._before, g.reshape(-1, *shapes[relaxation.network.input])))
        masked = bent.counts * pushed
        back = rows_of(relaxation.affine.pulled(self._before, masked.reshape(-1, *shapes[self._before])))
        return Applied(
            value=linear.value,
            square=g.square().sum(dim=1) * (1 + ROUNDING),
            pushed=pushed,
            off=self._off[0] * g.abs().amax(dim=1) + self._off[1],
            back=back.norm(dim=1) + ROUNDING * (masked.abs() @ self._row_sums),
        )

    def _is_behind(self, value: str) -> bool:
        """Whether a value is computed from the layer's output."""
        return self._position in self._relaxation.steps_behind(value)

    def _compared(self, interval: Interval, units: int) -> Compared:
        """The values compared, images and units in one row."""
        if isinstance(self._step, PreparedMaximum):
            ends = [torch.stack(self._step.taps(x)).flatten(1) for x in (interval.low, interval.centre, interval.high)]
        else:
            ends = [
                torch.stack([x, torch.zeros_like(x)]).flatten(1) for x in (interval.low, interval.centre, interval.high)
            ]
        variable = (self._selection.sign != 0).repeat(1, len(interval.low))
        return Compared.between(torch.minimum(ends[0], ends[2]), ends[1], torch.maximum(ends[0], ends[2]), variable)


def _selection(step: Prepared, relaxation: Relaxation) -> Selection | None:
    """What a ReLU or a maximum compares; None for another step."""
    if isinstance(step, PreparedMaximum):
        found = step.selection
        return found if found is not None and 2 <= len(found.place) <= MOST_TAPS else None
    if not isinstance(step, PreparedElementwise):
        return None
    shape = relaxation.network.shapes[step.inputs[0]]
    if not step.is_relu(shape):
        return None
    own = torch.arange(math.prod(shape))
    nothing = torch.zeros_like(own)
    sign = torch.stack([torch.ones_like(own), nothing]).double()
    return Selection(tuple(shape), torch.stack([own, nothing]), sign, once=True)


def _upper(substitution: Substitution) -> tuple[Float[Tensor, "taps images *output"], Tensor]:
    """Slopes and constants of the planes above."""
    if isinstance(substitution, SelectedPlanes):
        return substitution.upper, substitution.upper_constant
    assert isinstance(substitution, ElementwiseSubstitution)
    slope = substitution.lines.upper_slope
    return torch.stack([slope, torch.zeros_like(slope)]), substitution.lines.upper_constant
