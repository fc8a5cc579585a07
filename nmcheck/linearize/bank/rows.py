"""The rows of a Jacobian in single precision, a chunk at a time, by the fastest of several ways to the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.execute.program import Program
from nmcheck.graph.between import nodes_between
from nmcheck.linearize.bank.header import Arithmetic
from nmcheck.linearize.two_stage import is_affine_between

DENSEST = 0.1
"""Share of entries that may be other than zero in an affine part worth multiplying in as a sparse matrix."""
_LARGEST_HEAD = 2**25
"""Entries other than zero that it may have (256 MiB)."""
_LARGEST_BLOCK = 2**26
"""Entries of its dense Jacobian held at once while it is being made sparse (256 MiB)."""


@contextmanager
def arithmetic(how: Arithmetic) -> Iterator[None]:
    """Torch's threads and convolution kernels as wanted, and as they were afterwards."""
    kernels, threads, backend = torch.backends.mkldnn.enabled, torch.get_num_threads(), torch.backends.mkldnn
    if threads != how.threads:
        torch.set_num_threads(how.threads)
    backend.enabled = how.kernels == "onednn"  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        backend.enabled = kernels  # pyright: ignore[reportAttributeAccessIssue]
        if threads != how.threads:
            torch.set_num_threads(threads)


class JacobianRows:
    """The Jacobian of one value of the network by its input, averaged over points.

    Two ways lead to a chunk of rows. Either the chunk's unit vectors are pulled back through everything in front of the
    value. Or they are pulled back to where the network stops being affine, and what is left is multiplied by the
    Jacobian of the affine part, which is the same at all points and, for a convolution, sparse: a convolution's
    transpose onto few input channels is the slowest step otherwise.

    Args:
        program: the network, in single precision.
        target: the value.
        densest: share of entries other than zero up to which the affine part counts as sparse.

    Attributes:
        target: its name.
        function: it as a function of the input.
    """

    def __init__(self, program: Program, target: str, densest: float = DENSEST) -> None:
        self._program = program
        self._densest = densest
        self.target = target
        graph = program.graph
        self.function = program.function(graph.input, target)
        self._input_shape = graph.shapes[graph.input]

    @cached_property
    def sparse_head(self) -> _SparseHead | None:
        """The affine part in front, if there is one that is sparse enough to pay."""
        split = self._split
        if split is None:
            return None
        head, tail = split
        zero = torch.zeros(self._input_shape)
        matrix = _sparse_jacobian(head, zero, self._densest)
        return None if matrix is None else _SparseHead(head, tail, matrix)

    @property
    def _split(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None:
        """The network up to the last value that is affine in the input and that everything passes, and behind it."""
        graph, best = self._program.graph, None
        for node in nodes_between(graph, graph.input, self.target):
            value = node.outputs[0]
            if value == self.target or not is_affine_between(graph, graph.input, value):
                continue
            try:
                tail = self._program.function(value, self.target)
            except ValueError:
                continue
            best = self._program.function(graph.input, value), tail
        return best

    def chunks(self, points: Sequence[Tensor], how: Arithmetic) -> Iterator[tuple[slice, Float[Tensor, "rows n"]]]:
        """The rows, ``how.chunk`` at a time and in order, with their positions."""
        head = self.sparse_head if how.sparse_head else None
        parts = [_pulled_back(self.function, point) if head is None else head.pulled_back(point) for point in points]
        value = parts[0].value
        for start in range(0, value.numel(), how.chunk):
            rows = slice(start, min(start + how.chunk, value.numel()))
            basis = torch.zeros(rows.stop - start, value.numel())
            basis.diagonal(offset=start).fill_(1.0)
            total = None
            for each in parts:
                part = each.rows(basis.reshape(-1, *value.shape))
                total = part if total is None else total.add_(part)
            assert total is not None
            yield rows, total if len(parts) == 1 else total / len(parts)

    def forward(
        self, points: Sequence[Tensor], directions: Float[Tensor, "k n"], chunk: int
    ) -> Float[Tensor, "k outputs"]:
        """Directions through the Jacobian, D A'."""
        total = None
        for point in points:
            parts = []
            for block in directions.split(chunk):
                steps = block.reshape(-1, *self._input_shape)
                parts.append(
                    torch.func.vmap(lambda step, at=point: torch.func.jvp(self.function, (at,), (step,))[1])(steps)
                )
            moved = torch.cat(parts).flatten(1)
            total = moved if total is None else total + moved
        assert total is not None
        return total / len(points)

    def backward(
        self, points: Sequence[Tensor], weights: Float[Tensor, "k outputs"], chunk: int
    ) -> Float[Tensor, "k n"]:
        """Combinations of the Jacobian's rows, W A."""
        total = None
        for point in points:
            value, pullback, *_ = torch.func.vjp(self.function, point)
            parts = [
                torch.func.vmap(lambda row, pull=pullback: pull(row)[0])(block.reshape(-1, *value.shape)).flatten(1)
                for block in weights.split(chunk)
            ]
            moved = torch.cat(parts)
            total = moved if total is None else total + moved
        assert total is not None
        return total / len(points)


@dataclass(frozen=True, eq=False)
class _PulledBack:
    """A point, ready to have rows pulled back to the input.

    Attributes:
        value: of the function at the point.
        rows: from rows, of the value's shape, to rows of the input's elements.
    """

    value: Tensor
    rows: Callable[[Tensor], Tensor]


def _pulled_back(function: Callable[[Tensor], Tensor], point: Tensor) -> _PulledBack:
    value, pullback, *_ = torch.func.vjp(function, point)
    return _PulledBack(value, lambda rows: torch.func.vmap(lambda row: pullback(row)[0])(rows).flatten(1))


@dataclass(frozen=True, eq=False)
class _SparseHead:
    """The affine part in front of a network and what stands behind it.

    Attributes:
        before: the affine part, from the input.
        tail: the rest.
        matrix: the Jacobian of the affine part.
    """

    before: Callable[[Tensor], Tensor]
    tail: Callable[[Tensor], Tensor]
    matrix: scipy.sparse.csr_matrix

    def pulled_back(self, point: Tensor) -> _PulledBack:
        """Through both parts; of the affine one only what the rest lets through, behind a maximum a fraction."""
        behind = _pulled_back(self.tail, self.before(point))
        # A combination of all rows with random weights is zero where all of them are, and nowhere else.
        weights = torch.randn(1, *behind.value.shape, generator=torch.Generator().manual_seed(0))
        used = torch.nonzero(behind.rows(weights)[0]).squeeze(1)
        matrix = self.matrix[used.numpy()].T

        def rows(given: Tensor) -> Tensor:
            columns = behind.rows(given).mT[used].numpy()
            return torch.from_numpy(np.ascontiguousarray((matrix @ columns).T))

        return _PulledBack(behind.value, rows)


def _sparse_jacobian(
    function: Callable[[Tensor], Tensor], point: Tensor, densest: float
) -> scipy.sparse.csr_matrix | None:
    """The Jacobian of an affine function, by its columns; None if it is not sparse."""
    rows, columns = function(point).numel(), point.numel()
    limit = min(_LARGEST_HEAD, int(densest * rows * columns))
    step = max(1, min(128, _LARGEST_BLOCK // max(1, rows)))
    parts, count = [], 0
    for start in range(0, columns, step):
        basis = torch.zeros(min(step, columns - start), columns)
        basis.diagonal(offset=start).fill_(1.0)
        block = torch.func.vmap(lambda column: torch.func.jvp(function, (point,), (column,))[1])(
            basis.reshape(-1, *point.shape)
        )
        parts.append(scipy.sparse.csr_matrix(block.flatten(1).numpy()))
        count += parts[-1].nnz
        # Columns differ at borders only, so a dense part shows at once.
        if count > limit * (start + len(basis)) / columns + 1024 * len(basis):
            return None
    return None if count > limit else scipy.sparse.vstack(parts).T.tocsr()
