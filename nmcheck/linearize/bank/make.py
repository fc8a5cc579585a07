"""One point of a bank: the network linearized there, as the arrays that are kept."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from math import prod
from time import thread_time

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph
from nmcheck.linearize.bank.content import Content, encode_factor, encode_rows, row_norms
from nmcheck.linearize.bank.header import Arithmetic, Header
from nmcheck.linearize.bank.low_rank import Matrix, dense_matrix, low_rank_factor
from nmcheck.linearize.bank.rows import JacobianRows, arithmetic
from nmcheck.linearize.two_stage import TwoStageLinearizer, two_stage_at

_QUICK = 0.3
"""Seconds of a linearization that is timed as a whole."""


class PointMaker:
    """Linearizes a network at points; all it computes is fixed by the header, the center and its position, to the bit.

    Args:
        graph: the network, behind its input scaling.
        cut: the node linearized around.
    """

    def __init__(self, graph: Graph, cut: str) -> None:
        program = Program(graph, torch.float32)
        self.taylor: TwoStageLinearizer = two_stage_at(program, graph.by_name[cut], holds_matrices=False)
        # The linearizer may have written the ReLU out of an activation, so its program is the one to ask.
        self.rows = JacobianRows(self.taylor.program, self.taylor.relu.inputs[0])

    def make(self, header: Header, index: int, center: Float[np.ndarray, " n"]) -> Content:
        """The arrays of one point."""
        return self._make(header, index, center, header.point_arrays)

    def constants(self, header: Header, center: Float[np.ndarray, " n"]) -> Content:
        """The arrays kept once for all points, from any of them."""
        return self._make(header, 0, center, header.constant_arrays) if header.constant_arrays else {}

    def _make(self, header: Header, index: int, center: np.ndarray, wanted: Iterable[str]) -> Content:
        wanted = set(wanted)
        with arithmetic(header.arithmetic):
            point = torch.from_numpy(np.array(center, np.float32)).reshape(header.input_shape)
            points = around(point, header, index)
            kept: Content = {}
            skip = None
            if wanted & {"outer", "cross"}:
                outer, skip = self._outer(points)
                kept |= outer
            if wanted & {"norms", "cross"}:
                kept |= self._inner(header, index, points, skip)
        return {name: kept[name] for name in sorted(wanted)}

    def _outer(self, points: list[Tensor]) -> tuple[Content, Tensor | None]:
        """B, c2 and C; c2 in double precision, because it is a difference."""
        model, skip = self.taylor.outer_over(points)
        weight = model.weight
        graph = self.taylor.program.graph
        logits = self.taylor.program.function(graph.input, graph.logits)
        value = torch.stack([logits(point) for point in points]).double().mean(dim=0).flatten()
        hidden = torch.stack([torch.relu(self.taylor.before(point)) for point in points]).double().mean(dim=0).flatten()
        bias = value - weight.double() @ hidden
        kept = {"outer": weight.numpy()}
        if skip is not None:
            bias = bias - skip.double() @ torch.stack(points).double().mean(dim=0).flatten()
            kept["skip"] = skip.numpy()
        return kept | {"bias": bias.numpy()}, skip

    def _inner(self, header: Header, index: int, points: list[Tensor], skip: Tensor | None) -> Content:
        how, storage = header.arithmetic, header.storage
        low_rank = storage.kind == "low-rank"
        seed = draw_seed(header.seed, index, 1)
        if how.holds_matrix:
            A = torch.empty(header.p, header.n)
            for where, rows in self.rows.chunks(points, how):
                A[where] = rows
            matrix = dense_matrix(A)
            norms = row_norms(A) if low_rank else None
            kept = {} if low_rank else encode_rows(A, storage)
        else:
            norms = torch.cat([row_norms(rows) for _, rows in self.rows.chunks(points, how)])
            matrix = self._matrix_free(header, points)
            kept = {}
        if low_rank and norms is not None:
            kept = encode_factor(norms, low_rank_factor(matrix, storage.rank, seed), storage)
        if skip is not None and "cross" in header.cross_arrays:
            kept["cross"] = matrix.times_rows(skip).mT.contiguous().numpy()
        return kept

    def _matrix_free(self, header: Header, points: list[Tensor]) -> Matrix:
        chunk = header.arithmetic.chunk
        return Matrix(
            header.p,
            header.n,
            times_rows=lambda D: self.rows.forward(points, D, chunk),
            combined=lambda W: self.rows.backward(points, W, chunk),
        )

    def time_rows(self, how: Arithmetic, center: Float[np.ndarray, " n"]) -> float:
        """Seconds of this thread that a row of A takes: of all rows where that is quick, else of one chunk."""
        graph = self.taylor.program.graph
        rows = prod(graph.shapes[self.rows.target])
        with arithmetic(how):
            point = torch.from_numpy(np.array(center, np.float32)).reshape(graph.shapes[graph.input])

            def timed(chunks: int) -> float:
                start = thread_time()
                done = [where.stop for where, _ in islice(self.rows.chunks([point], how), chunks)]
                return (thread_time() - start) / done[-1]

            timed(1)
            one = timed(1)
            if one * rows > _QUICK:
                return one
            return min(timed(rows) for _ in range(3))


def around(point: Tensor, header: Header, index: int) -> list[Tensor]:
    """Where the network is differentiated for a point: there, or at noisy inputs around it, in antithetic pairs."""
    if header.linearizer == "taylor" or header.sigma is None:
        return [point]
    generator = torch.Generator().manual_seed(draw_seed(header.seed, index, 0))
    draws = header.sigma * torch.randn(header.pairs, *point.shape, generator=generator)
    return [*(point + draws.to(point)), *(point - draws.to(point))]


def draw_seed(seed: int, index: int, purpose: int) -> int:
    """A 63-bit seed for one point: 0 for its noise, 1 for its random projection."""
    return int(np.random.SeedSequence((seed, index, purpose)).generate_state(1, np.uint64)[0] >> 1)
