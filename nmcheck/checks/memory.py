"""What an analysis takes of memory, estimated from shapes before any work; torch is not loaded for it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from nmcheck.errors import UnsupportedError
from nmcheck.execute.chunks import images_at_once, largest_value
from nmcheck.graph.ir import Graph, Node
from nmcheck.linearize.budget import budget_refusal, two_stage_bytes
from nmcheck.memory import free_memory
from nmcheck.moments.batches import inputs_at_once
from nmcheck.moments.propagation.budget import BUDGET

PROCESS = 500 * 10**6
"""Bytes of Python with torch, onnxruntime and nmcheck, and of what these keep once they have computed anything."""
LEAST_TANGENTS = 2**26
"""Bytes of tangents with fewer of which propagation is not begun."""
_DOUBLE = 8
_WEIGHT_COPIES = 6
"""Of the weights in the file's precision: the file's own, those of two programs (one in float64), and onnxruntime's."""
_SAMPLE_COPIES, _VALUE_COPIES, _TANGENT_COPIES = 5, 3, 3
"""Copies, in double precision, of the noisy inputs held at once, of the largest value of the images computed at once,
and of its tangents."""


@dataclass(frozen=True)
class AnalysisMemory:
    """What an analysis takes, in bytes.

    Attributes:
        base: of the process, the weights and the images, which are there all the time.
        matrices: of the model around the cut, which are kept while an image is worked on.
        sampling: of the noisy inputs computed at once.
        tangents: of what is propagated.
    """

    base: int
    matrices: int
    sampling: int
    tangents: int

    @property
    def least(self) -> int:
        """Without the engines."""
        return self.base + self.sampling

    @property
    def peak(self) -> int:
        """All that there is at the worst time."""
        return self.base + self.matrices + max(self.sampling, self.tangents)


def analysis_memory(graph: Graph, cut: Node | None, images: int, *, propagates: bool = True) -> AnalysisMemory:
    """What ``analyze`` takes.

    Args:
        graph: the network.
        cut: the ReLU that the two-stage engines linearize around; None if none runs.
        images: how many.
        propagates: whether noise is propagated too.
    """
    n, largest = prod(graph.shapes[graph.input]), largest_value(graph)
    weights = sum(array.nbytes for array in graph.constants.values())
    return AnalysisMemory(
        base=PROCESS + _WEIGHT_COPIES * weights + 2 * _DOUBLE * images * n,
        matrices=0 if cut is None else two_stage_bytes(graph, cut),
        sampling=_DOUBLE * (_SAMPLE_COPIES * inputs_at_once(n) * n + _VALUE_COPIES * images_at_once(graph) * largest),
        tangents=min(BUDGET, _TANGENT_COPIES * _DOUBLE * n * largest) if propagates else 0,
    )


class MemoryPlan:
    """What of an analysis fits in the memory there is.

    Args:
        graph: the network.
        images: how many there are.
        allowed: bytes that this process may take in all; None if nobody knows.
    """

    def __init__(self, graph: Graph, images: int, allowed: int | None) -> None:
        self._graph, self._images, self._allowed = graph, images, allowed

    def check(self) -> None:
        """Refuse an analysis of which nothing fits.

        Raises:
            UnsupportedError: the message has both figures.
        """
        needed = analysis_memory(self._graph, None, self._images, propagates=False).least
        if self._allowed is not None and needed > self._allowed:
            raise UnsupportedError(
                f"{self._graph.model.path}: the analysis would take at least {gibibytes(needed)} of memory, and this "
                f"process may take {gibibytes(self._allowed)}; take fewer --samples or a machine with more memory."
            )

    def refusal(self, graph: Graph, node: Node) -> str | None:
        """Why the network is not linearized at a ReLU (``cut.Refusal``): too large for nmcheck, or for this machine."""
        reason = budget_refusal(graph, node)
        if reason is not None or self._allowed is None:
            return reason
        needed = analysis_memory(graph, node, self._images, propagates=False)
        if needed.peak <= self._allowed:
            return None
        return (
            f"{node.name} has {prod(graph.shapes[node.outputs[0]]):,} units, with which the analysis would take about "
            f"{gibibytes(needed.peak)}, {gibibytes(needed.matrices)} of them for A and A A', and this process may take "
            f"{gibibytes(self._allowed)}"
        )

    def tangents(self, cut: Node | None) -> tuple[int, str | None]:
        """Bytes that propagation may hold, and why they are fewer than usual."""
        needed = analysis_memory(self._graph, cut, self._images)
        if self._allowed is None or needed.peak <= self._allowed:
            return BUDGET, None
        left = max(LEAST_TANGENTS, self._allowed - needed.base - needed.matrices)
        if left >= needed.tangents:
            return BUDGET, None
        return left, (
            f"propagate holds {gibibytes(left)} of tangents at a time instead of {gibibytes(needed.tangents)}, for "
            f"this process may take {gibibytes(self._allowed)} of memory: directions of the noise are random where "
            "those of all pixels do not fit."
        )


def memory_plan(graph: Graph, images: int) -> MemoryPlan:
    """The plan for this machine; the process is taken to be there already, with nothing of the analysis."""
    free = free_memory()
    return MemoryPlan(graph, images, None if free is None else free + PROCESS)


def gibibytes(size: int) -> str:
    """``1.25 GiB``."""
    return f"{size / 2**30:.3g} GiB"
