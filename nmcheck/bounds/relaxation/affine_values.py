"""Values that are affine functions of the input: their matrices, row by row or as a product."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.bounds.relaxation.interval import ROUNDING
from nmcheck.bounds.relaxation.prepared import Prepared, PreparedAffine
from nmcheck.bounds.relaxation.rows import rows_of
from nmcheck.steps import Network


class AffineValues:
    """The affine values of one network.

    Args:
        network: the network.
        steps: the same, prepared.
        rows: how many combinations of a value may be gone backward with at a time.
    """

    def __init__(self, network: Network, steps: Sequence[Prepared], rows: Callable[[str], int]) -> None:
        self._network, self._steps, self._rows = network, steps, rows
        self._writer = writers(steps)
        found = {network.input}
        for step in steps:
            if step.affine and found.issuperset(step.inputs):
                found.update(step.outputs)
        self._names = frozenset(found - {network.input})
        self._dual_norms: dict[tuple[str, float], Tensor] = {}
        self._grams: dict[str, Tensor] = {}

    def __contains__(self, value: str) -> bool:
        """Whether a value is an affine function of the input, and not the input itself."""
        return value in self._names

    def matrix(self, value: str) -> Float[Tensor, "elements inputs"]:
        """The matrix W from the input to a value."""
        elements = math.prod(self._network.shapes[value])
        return torch.cat([self._some_rows(value, places) for places in torch.arange(elements).split(self._rows(value))])

    def gram(self, value: str) -> Float[Tensor, "elements elements"]:
        """W W'."""
        if value not in self._grams:
            matrix = self.matrix(value)
            self._grams[value] = matrix @ matrix.T
        return self._grams[value]

    def dual_norms(self, value: str, norm: float) -> Float[Tensor, "1 *value"]:
        """Dual norms of the matrix's rows: how far each element can move for a change of norm 1, up to rounding."""
        if (value, norm) not in self._dual_norms:
            shape = self._network.shapes[value]
            parts = [
                torch.linalg.vector_norm(self._some_rows(value, places), ord=2 if norm == 2 else 1, dim=1)
                for places in torch.arange(math.prod(shape)).split(self._rows(value))
            ]
            self._dual_norms[value, norm] = torch.cat(parts).reshape(1, *shape) * (1 + ROUNDING)
        return self._dual_norms[value, norm]

    def pulled(self, value: str, coefficients: Float[Tensor, "specs *value"]) -> Float[Tensor, "specs *sample"]:
        """W' coefficients."""
        count, shapes = len(coefficients), self._network.shapes
        found = {value: coefficients}
        for position in steps_behind(self._steps, value):
            step = self._steps[position]
            assert isinstance(step, PreparedAffine)
            given = tuple(
                found.pop(name) if name in found else coefficients.new_zeros((count, *shapes[name]))
                for name in step.outputs
            )
            for name, part in zip(step.inputs, step.pull(*given), strict=True):
                found[name] = found[name] + part if name in found else part
        return found.get(self._network.input, coefficients.new_zeros((count, *shapes[self._network.input])))

    def pushed(self, value: str, changes: Float[Tensor, "specs *sample"]) -> Float[Tensor, "specs *value"]:
        """W changes, to within the rounding of ``pushed_size``: the value there less the value at zero."""
        zero = changes.new_zeros((1, *changes.shape[1:]))

        def function(step: PreparedAffine, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return step.function(*given)

        return self._forward(value, changes, function) - self._forward(value, zero, function)

    def pushed_size(self, value: str) -> tuple[Float[Tensor, " elements"], Float[Tensor, " elements"]]:
        """Magnitude of the terms that ``pushed`` sums: one part for each unit of the largest change, one without it.

        The first is |W| 1, or what the product of the steps' absolute matrices makes of it, which is no less.
        """
        shape = self._network.shapes[self._network.input]
        ones, zeros = torch.ones((1, *shape), dtype=torch.float64), torch.zeros((1, *shape), dtype=torch.float64)

        def alone(step: PreparedAffine, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return step.magnitude(*given)

        def added(step: PreparedAffine, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            parts = zip(step.magnitude(*given), step.offsets, strict=True)
            return tuple(part + 2 * offset.abs() for part, offset in parts)

        return self._forward(value, ones, alone).flatten(), self._forward(value, zeros, added).flatten()

    def _forward(
        self,
        value: str,
        inputs: Tensor,
        through: Callable[[PreparedAffine, tuple[Tensor, ...]], tuple[Tensor, ...]],
    ) -> Tensor:
        found = {self._network.input: inputs}
        for position in reversed(steps_behind(self._steps, value)):
            step = self._steps[position]
            assert isinstance(step, PreparedAffine)
            outputs = through(step, tuple(found[name] for name in step.inputs))
            found.update(zip(step.outputs, outputs, strict=True))
        return found[value]

    def _some_rows(self, value: str, places: Tensor) -> Tensor:
        shape = self._network.shapes[value]
        seeds = torch.zeros((len(places), math.prod(shape)), dtype=torch.float64)
        seeds[torch.arange(len(places)), places] = 1
        return rows_of(self.pulled(value, seeds.reshape(len(places), *shape)))


def writers(steps: Sequence[Prepared]) -> dict[str, int]:
    """By value the position of the step that writes it."""
    return {name: position for position, step in enumerate(steps) for name in step.outputs}


def steps_behind(steps: Sequence[Prepared], value: str) -> list[int]:
    """Positions of the steps a value is computed by, the last first."""
    needed, found = {value}, list[int]()
    for position in range(writers(steps).get(value, -1), -1, -1):
        if needed & set(steps[position].outputs):
            needed |= set(steps[position].inputs)
            found.append(position)
    return found
