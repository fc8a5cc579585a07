"""Linear relaxation of a whole network: bounds of every value on a region, and linear lower bounds by substitution.

Forward, every value gets an interval: interval arithmetic, intersected with balls from Lipschitz constants, exact dual
norms where everything before is affine and, with method ``crown``, with what going backward from the value to the input
gives, for those elements only whose bounds make a difference. Backward, a linear combination of a value's elements is
expressed by the inputs of the step that wrote it, then of the step before, and so on in reverse order: where a value is
read several times its coefficients add up. What is left at the input is an affine function below the combination
everywhere in the region (Zhang et al. 2018, CROWN).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.relaxation.affine_values import AffineValues, steps_behind, writers
from nmcheck.bounds.relaxation.interval import ROUNDING, Interval, magnitude_of
from nmcheck.bounds.relaxation.preparation import prepare
from nmcheck.bounds.relaxation.prepared import Prepared
from nmcheck.bounds.relaxation.reach import Reach
from nmcheck.bounds.relaxation.region import Region
from nmcheck.bounds.relaxation.rows import rows_of
from nmcheck.bounds.relaxation.substitution import Owner, Substitution, total
from nmcheck.bounds.relaxation.tightening import portions, tightened
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph
from nmcheck.steps import Network

DEFAULT_BUDGET = 2**29
"""Bytes that coefficients may take at a time."""
_COPIES = 20
"""Tensors of the largest value's size that one backward step holds at a time, at most; with parabolas."""
_TENSOR = 2**23
"""Bytes of a tensor beyond which more specs at a time are no faster: memory is mapped anew for every larger one."""
_FLOAT64 = 8


@dataclass(frozen=True)
class LinearBounds:
    """Affine functions of the input, each below its spec everywhere in its region.

    Attributes:
        value: of each function at the image, (specs,), rounding allowed for.
        slope: its coefficients, (specs, elements).
        owner: the image whose region it holds on.
    """

    value: Float[Tensor, " specs"]
    slope: Float[Tensor, "specs elements"]
    owner: Owner

    def lowest(self, region: Region) -> Float[Tensor, " specs"]:
        """The least value in the region."""
        return self.value - region.descent(self.slope, self.owner)


@dataclass(frozen=True)
class Relaxed:
    """A network relaxed on a region.

    Attributes:
        region: where the inputs are.
        intervals: bounds of the values, by name.
        substitutions: the steps, ready to be gone through backward, by position.
    """

    region: Region
    intervals: dict[str, Interval] = field(default_factory=dict)
    substitutions: list[Substitution] = field(default_factory=list)


@dataclass(frozen=True)
class Descent:
    """How far combinations of a value's elements have been expressed by earlier values.

    Attributes:
        coefficients: of the values reached, by name, (specs, *value).
        constant: what is added, (specs,).
        size: sum of the terms' magnitudes, by which rounding is allowed for.
    """

    coefficients: dict[str, Tensor]
    constant: Float[Tensor, " specs"]
    size: Float[Tensor, " specs"]


Backward = Callable[[Relaxed, str, Tensor, Tensor], LinearBounds]
"""From a relaxed network, a value's name, combinations of its elements and their images to functions below them."""

Lowest = Callable[[Relaxed, str, Tensor, Tensor], Tensor]
"""The same, to the least value of each combination in the region, or less; minus infinity where it has none."""


class Relaxation:
    """The relaxation of one network, prepared once.

    Args:
        graph: the network, input scaling included.
        program: the same in float64, on the CPU.
        network: its steps.
        constants: its Lipschitz constants, if there are any already.
        budget: bytes that coefficients may take at a time.

    Raises:
        UnsupportedError: a step has no sound line; the message names its node.
    """

    def __init__(
        self,
        graph: Graph,
        program: Program,
        network: Network,
        constants: LayerConstants | None = None,
        budget: int = DEFAULT_BUDGET,
    ) -> None:
        self.network = network
        self.budget = budget
        self.steps: tuple[Prepared, ...] = prepare(graph, program, network)
        self._reach = Reach(constants or LayerConstants(graph, program))
        self._writer = writers(self.steps)
        self.affine = AffineValues(self.network, self.steps, self.rows)
        self.classes = math.prod(network.shapes[network.output])
        self.masked = program.equal.never

    def relax(
        self, region: Region, *, tighten: bool, first: Lowest | None = None, then: Lowest | None = None
    ) -> Relaxed:
        """Bound every value on the region.

        Args:
            region: where the inputs are.
            tighten: whether to go backward from values whose bounds make a difference (``crown``), or to do with
                intervals and balls (``crown-ibp``).
            first: how to find least values of elements that are tightened, if not by ``substituted``.
            then: another way, for elements whose bounds matter even then.
        """
        low, high = region.interval()
        found = Relaxed(region)
        found.intervals[self.network.input] = Interval(region.centre, low, high, magnitude_of(low, high))
        done: tuple[dict[str, Bool[Tensor, "images elements"]], ...] = ({}, {})
        for step in self.steps:
            if tighten and not step.affine:
                self._tighten(found, step, first or self.straight, done[0])
                if then is not None:
                    self._tighten(found, step, then, done[1], probe=True)
            inputs = [found.intervals[name] for name in step.inputs]
            radii = [self._radius(name, found) for name in step.inputs]
            outputs, substitution = step.advance(inputs, radii)
            for name, interval in zip(step.outputs, outputs, strict=True):
                found.intervals[name] = self._confined(name, interval, found)
            found.substitutions.append(substitution)
        return found

    def lower_bounds(
        self,
        relaxed: Relaxed,
        value: str,
        seeds: Float[Tensor, "specs elements"],
        owner: Owner,
        backward: Backward | None = None,
    ) -> LinearBounds:
        """Affine functions below linear combinations of a value's elements.

        Args:
            relaxed: the network on its region.
            value: name of the value.
            seeds: the combinations, a row each.
            owner: the image each is asked at.
            backward: how to go backward, if not by ``substituted``.
        """
        parts = [
            (backward or self.substituted)(relaxed, value, seeds[places], owner[places])
            for places in portions(owner, self.rows(value))
        ]
        return LinearBounds(torch.cat([part.value for part in parts]), torch.cat([part.slope for part in parts]), owner)

    def rows(self, value: str) -> int:
        """Specs that are gone backward with at a time, from ``value``."""
        largest = max(math.prod(self.network.shapes[name]) for name in self._behind(value))
        return max(1, min(self.budget // (_FLOAT64 * _COPIES * largest), _TENSOR // (_FLOAT64 * largest)))

    def _behind(self, value: str) -> Iterator[str]:
        """The value and all that it is computed from."""
        return iter({value}.union(*(self.steps[position].inputs for position in self.steps_behind(value))))

    def steps_behind(self, value: str) -> list[int]:
        """Positions of the steps a value is computed by, the last first."""
        return steps_behind(self.steps, value)

    def descended(
        self, relaxed: Relaxed, value: str, seeds: Float[Tensor, "specs elements"], owner: Owner, until: int = 0
    ) -> Descent:
        """The combinations, expressed from below by the values that the steps from ``until`` on read."""
        count = len(seeds)
        start = Descent(
            coefficients={value: seeds.reshape(count, *self.network.shapes[value])},
            constant=torch.zeros(count, dtype=seeds.dtype),
            size=self._total_size(seeds, relaxed.intervals[value], owner),
        )
        return self.continued(relaxed, start, owner, until)

    def continued(self, relaxed: Relaxed, reached: Descent, owner: Owner, until: int) -> Descent:
        """A descent, taken further down."""
        coefficients, constant, size = dict(reached.coefficients), reached.constant, reached.size
        highest = max((self._writer.get(name, -1) for name in coefficients), default=-1)
        for position in range(highest, until - 1, -1):
            step = self.steps[position]
            if not any(name in coefficients for name in step.outputs):
                continue
            given = tuple(
                coefficients.pop(name)
                if name in coefficients
                else constant.new_zeros((len(constant), *self.network.shapes[name]))
                for name in step.outputs
            )
            passed = relaxed.substitutions[position](given, owner)
            constant, size = constant + passed.constant, size + passed.size
            for name, part in zip(step.inputs, passed.coefficients, strict=True):
                coefficients[name] = coefficients[name] + part if name in coefficients else part
        return Descent(coefficients, constant, size)

    def at_input(self, relaxed: Relaxed, reached: Descent, owner: Owner) -> LinearBounds:
        """What a descent down to the input has found."""
        region, constant = relaxed.region, reached.constant
        slope = reached.coefficients.get(self.network.input)
        slope = constant.new_zeros((len(constant), region.centre[0].numel())) if slope is None else rows_of(slope)
        size = reached.size + self._total_size(slope, relaxed.intervals[self.network.input], owner)
        at_centre = constant + total(slope, region.centre, owner)
        return LinearBounds(at_centre - ROUNDING * size, slope, owner)

    def substituted(self, relaxed: Relaxed, value: str, seeds: Tensor, owner: Owner) -> LinearBounds:
        """The same for as many specs as fit in memory."""
        return self.at_input(relaxed, self.descended(relaxed, value, seeds, owner), owner)

    def straight(self, relaxed: Relaxed, value: str, seeds: Tensor, owner: Owner) -> Float[Tensor, " specs"]:
        """Their least values in the region, or less."""
        return self.substituted(relaxed, value, seeds, owner).lowest(relaxed.region)

    def lipschitz(self, value: str) -> float:
        """A certified Euclidean Lipschitz constant from the input to an affine value; infinite if there is none."""
        shape = self.network.shapes[self.network.input]
        unit = Region(torch.zeros((1, *shape), dtype=torch.float64), torch.ones(1, dtype=torch.float64), 2.0)
        return self._reach.radius(value, unit, {}).item()

    def first_curve(self) -> int | None:
        """Position of the first step that is not affine, if it reads affine values and everything goes through it."""
        position = next((place for place, step in enumerate(self.steps) if not step.affine), None)
        if position is None or not all(name in self.affine for name in self.steps[position].inputs):
            return None
        return position if self._separates(position) else None

    def _separates(self, position: int) -> bool:
        """Whether everything that comes from the input to the logits goes through one step."""
        moved = {self.network.input}
        for place, step in enumerate(self.steps):
            if place != position and not moved.isdisjoint(step.inputs):
                moved.update(step.outputs)
        return self.network.output not in moved

    @staticmethod
    def _total_size(coefficients: Tensor, interval: Interval, owner: Owner) -> Tensor:
        return total(coefficients.abs(), interval.size, owner)

    def _tighten(
        self, found: Relaxed, step: Prepared, lowest: Lowest, done: dict[str, Tensor], *, probe: bool = False
    ) -> None:
        """Tighten those elements that the step reads and whose bounds still make a difference.

        With ``probe`` a few are tried first, and the others only if that is worth it.
        """
        for name, mask in zip(step.inputs, step.wanted([found.intervals[name] for name in step.inputs]), strict=True):
            if mask is not None and not self._is_exact(name, found.region):
                todo = rows_of(mask) & ~done.get(name, rows_of(torch.zeros_like(mask)))
                done[name] = todo | done.get(name, todo)
                least = functools.partial(lowest, found, name)
                interval = tightened(found.intervals[name], todo, least, self.rows(name), probe=probe)
                found.intervals[name] = interval

    def _radius(self, name: str, found: Relaxed) -> Tensor:
        centres = {value: interval.centre for value, interval in found.intervals.items()}
        return self._reach.radius(name, found.region, centres)

    def _confined(self, name: str, interval: Interval, found: Relaxed) -> Interval:
        """The interval within what is known besides of the value: an exact dual norm, or its Lipschitz ball."""
        if name in self.affine:
            norms = self.affine.dual_norms(name, found.region.norm)
            epsilon = found.region.epsilon.reshape(-1, *[1] * (interval.centre.ndim - 1))
            return interval.within(epsilon * norms)
        radius = self._radius(name, found)
        if not torch.isfinite(radius).all():
            return interval
        return interval.within(radius.reshape(-1, *[1] * (interval.centre.ndim - 1)).expand_as(interval.centre))

    def _is_exact(self, name: str, region: Region) -> bool:
        """Whether the interval of a value is the exact range already."""
        if name == self.network.input:
            return True
        return name in self.affine and region.box is None
