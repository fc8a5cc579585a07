"""Linear relaxation of a whole network: bounds of every value on a region, and linear lower bounds by substitution.

Forward, every value gets an interval: interval arithmetic, intersected with balls from Lipschitz constants, exact dual
norms where everything before is affine and, with method ``crown``, with what going backward from the value to the input
gives, for those elements only whose bounds make a difference. Backward, a linear combination of a value's elements is
expressed by the inputs of the step that wrote it, then of the step before, and so on in reverse order: where a value is
read several times its coefficients add up. What is left at the input is an affine function below the combination
everywhere in the region (Zhang et al. 2018, CROWN).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nmcheck.bounds.affine_run import LayerConstants
from nmcheck.bounds.relaxation.interval import ROUNDING, Interval, magnitude_of
from nmcheck.bounds.relaxation.preparation import prepare
from nmcheck.bounds.relaxation.prepared import Prepared, PreparedAffine
from nmcheck.bounds.relaxation.reach import Reach
from nmcheck.bounds.relaxation.region import Region
from nmcheck.bounds.relaxation.substitution import Owner, Substitution, total
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph
from nmcheck.steps import Network

DEFAULT_BUDGET = 2**29
"""Bytes that coefficients may take at a time."""
_COPIES = 8
"""Tensors of the largest value's size that one backward step holds at a time, at most."""
_TENSOR = 2**23
"""Bytes of a tensor beyond which more specs at a time are no faster: memory is mapped anew for every larger one."""
_FLOAT64 = 8
_MANY = 32
"""Specs of an image that are worth a pass of their own."""


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
        self._writer = {name: position for position, step in enumerate(self.steps) for name in step.outputs}
        self._affine = self._affine_values()
        self._dual_norms: dict[tuple[str, float], Tensor] = {}
        self.classes = math.prod(network.shapes[network.output])

    def relax(self, region: Region, *, tighten: bool, backward: Backward | None = None) -> Relaxed:
        """Bound every value on the region.

        Args:
            region: where the inputs are.
            tighten: whether to go backward from values whose bounds make a difference (``crown``), or to do with
                intervals and balls (``crown-ibp``).
            backward: how to go backward from an element that is tightened, if not by ``substituted``.
        """
        low, high = region.interval()
        found = Relaxed(region)
        found.intervals[self.network.input] = Interval(region.centre, low, high, magnitude_of(low, high))
        done: dict[str, Bool[Tensor, "images elements"]] = {}
        for step in self.steps:
            inputs = [found.intervals[name] for name in step.inputs]
            if tighten and not step.affine:
                for name, mask in zip(step.inputs, step.wanted(inputs), strict=True):
                    if mask is not None and not self._is_exact(name, region):
                        self._tighten(found, name, mask.flatten(1), done, backward or self.substituted)
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
            for places in self._portions(owner, self.rows(value))
        ]
        return LinearBounds(torch.cat([part.value for part in parts]), torch.cat([part.slope for part in parts]), owner)

    def rows(self, value: str) -> int:
        """Specs that are gone backward with at a time, from ``value``."""
        largest = max(math.prod(self.network.shapes[name]) for name in self._behind(value))
        return max(1, min(self.budget // (_FLOAT64 * _COPIES * largest), _TENSOR // (_FLOAT64 * largest)))

    @staticmethod
    def _portions(owner: Owner, rows: int) -> Iterator[slice]:
        """Specs to go backward with together: those of one image where it has many, whose tables need no copies."""
        sorted_images, counts = owner.unique_consecutive(return_counts=True)
        lengths = counts.tolist() if len(owner) >= _MANY * len(sorted_images) else [len(owner)]
        start = 0
        for length in lengths:
            for offset in range(0, length, rows):
                yield slice(start + offset, start + min(offset + rows, length))
            start += length

    def _behind(self, value: str) -> Iterator[str]:
        """The value and all that it is computed from."""
        return iter({value}.union(*(self.steps[position].inputs for position in self.steps_behind(value))))

    def steps_behind(self, value: str) -> list[int]:
        """Positions of the steps a value is computed by, the last first."""
        needed, found = {value}, list[int]()
        for position in range(self._writer.get(value, -1), -1, -1):
            if needed & set(self.steps[position].outputs):
                needed |= set(self.steps[position].inputs)
                found.append(position)
        return found

    def descended(
        self, relaxed: Relaxed, value: str, seeds: Float[Tensor, "specs elements"], owner: Owner, until: int = 0
    ) -> Descent:
        """The combinations, expressed from below by the values that the steps from ``until`` on read."""
        count = len(seeds)
        coefficients = {value: seeds.reshape(count, *self.network.shapes[value])}
        size = self._total_size(seeds, relaxed.intervals[value], owner)
        constant = torch.zeros(count, dtype=seeds.dtype)
        for position in range(self._writer.get(value, -1), until - 1, -1):
            step = self.steps[position]
            if not any(name in coefficients for name in step.outputs):
                continue
            given = tuple(
                coefficients.pop(name) if name in coefficients else seeds.new_zeros((count, *self.network.shapes[name]))
                for name in step.outputs
            )
            passed = relaxed.substitutions[position](given, owner)
            constant, size = constant + passed.constant, size + passed.size
            for name, part in zip(step.inputs, passed.coefficients, strict=True):
                coefficients[name] = coefficients[name] + part if name in coefficients else part
        return Descent(coefficients, constant, size)

    def substituted(self, relaxed: Relaxed, value: str, seeds: Tensor, owner: Owner) -> LinearBounds:
        """The same for as many specs as fit in memory."""
        passed = self.descended(relaxed, value, seeds, owner)
        region = relaxed.region
        slope = passed.coefficients.get(self.network.input)
        slope = seeds.new_zeros((len(seeds), region.centre[0].numel())) if slope is None else slope.flatten(1)
        size = passed.size + self._total_size(slope, relaxed.intervals[self.network.input], owner)
        at_centre = passed.constant + total(slope, region.centre, owner)
        return LinearBounds(at_centre - ROUNDING * size, slope, owner)

    def is_affine(self, value: str) -> bool:
        """Whether a value is an affine function of the input."""
        return value in self._affine

    def separates(self, position: int) -> bool:
        """Whether everything that comes from the input to the logits goes through one step."""
        moved = {self.network.input}
        for place, step in enumerate(self.steps):
            if place != position and not moved.isdisjoint(step.inputs):
                moved.update(step.outputs)
        return self.network.output not in moved

    def affine_rows(self, value: str) -> Float[Tensor, "elements inputs"]:
        """The matrix from the input to an affine value."""
        elements = math.prod(self.network.shapes[value])
        parts = [
            self._affine_rows(value, places, elements) for places in torch.arange(elements).split(self.rows(value))
        ]
        return torch.cat(parts)

    @staticmethod
    def _total_size(coefficients: Tensor, interval: Interval, owner: Owner) -> Tensor:
        return total(coefficients.abs(), interval.size, owner)

    def _tighten(self, found: Relaxed, name: str, mask: Tensor, done: dict[str, Tensor], backward: Backward) -> None:
        """Intersect the marked elements' intervals with what going backward from them gives."""
        todo = mask & ~done.get(name, torch.zeros_like(mask))
        done[name] = todo | done.get(name, todo)
        owner, element = todo.nonzero(as_tuple=True)
        if not len(owner):
            return
        old = found.intervals[name]
        low, high = old.low.flatten(1).clone(), old.high.flatten(1).clone()
        width = low.shape[1]
        for portion in self._portions(owner, max(1, self.rows(name) // 2)):
            images, places = owner[portion], element[portion]
            seeds = torch.zeros((2, len(images), width), dtype=low.dtype)
            seeds[0, torch.arange(len(images)), places] = 1
            seeds[1, torch.arange(len(images)), places] = -1
            bounds = backward(found, name, seeds.flatten(0, 1), images.repeat(2))
            least, negated = bounds.lowest(found.region).reshape(2, -1)
            low[images, places] = torch.maximum(low[images, places], least)
            high[images, places] = torch.minimum(high[images, places], -negated)
        shape = old.low.shape
        found.intervals[name] = Interval(old.centre, low.reshape(shape), high.reshape(shape), old.size)

    def _radius(self, name: str, found: Relaxed) -> Tensor:
        centres = {value: interval.centre for value, interval in found.intervals.items()}
        return self._reach.radius(name, found.region, centres)

    def _confined(self, name: str, interval: Interval, found: Relaxed) -> Interval:
        """The interval within what is known besides of the value: an exact dual norm, or its Lipschitz ball."""
        if name in self._affine:
            norms = self._dual_norm(name, found.region.norm)
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
        return name in self._affine and region.box is None

    def _affine_values(self) -> frozenset[str]:
        """Values that are affine functions of the input."""
        found = {self.network.input}
        for step in self.steps:
            if step.affine and found.issuperset(step.inputs):
                found.update(step.outputs)
        return frozenset(found - {self.network.input})

    def _dual_norm(self, name: str, norm: float) -> Float[Tensor, "1 *value"]:
        """Of every element's row of the matrix from the input to an affine value: exact up to rounding."""
        if (name, norm) not in self._dual_norms:
            shape = self.network.shapes[name]
            elements = math.prod(shape)
            parts = [
                torch.linalg.vector_norm(self._affine_rows(name, places, elements), ord=2 if norm == 2 else 1, dim=1)
                for places in torch.arange(elements).split(self.rows(name))
            ]
            self._dual_norms[name, norm] = torch.cat(parts).reshape(1, *shape) * (1 + ROUNDING)
        return self._dual_norms[name, norm]

    def _affine_rows(self, name: str, places: Tensor, elements: int) -> Tensor:
        seeds = torch.zeros((len(places), elements), dtype=torch.float64)
        seeds[torch.arange(len(places)), places] = 1
        coefficients = {name: seeds.reshape(len(places), *self.network.shapes[name])}
        for position in range(self._writer[name], -1, -1):
            step = self.steps[position]
            if not isinstance(step, PreparedAffine) or not any(value in coefficients for value in step.outputs):
                continue
            given = tuple(
                coefficients.pop(value, seeds.new_zeros((len(places), *self.network.shapes[value])))
                for value in step.outputs
            )
            for value, part in zip(step.inputs, step.pull(*given), strict=True):
                coefficients[value] = coefficients[value] + part if value in coefficients else part
        return coefficients[self.network.input].flatten(1)
