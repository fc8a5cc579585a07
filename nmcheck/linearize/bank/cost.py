"""What a bank costs before it is built: bytes on the disk and in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from nmcheck.graph.ir import Graph, Node
from nmcheck.linearize.bank.low_rank import OVERSAMPLING
from nmcheck.linearize.bank.storage import Storage

SMALLEST = Storage("low-rank", 64, "float16")
"""The storage that is offered where another does not fit."""
_SINGLE, _DOUBLE = 4, 8


@dataclass(frozen=True)
class Sizes:
    """Of a network at a ReLU.

    Attributes:
        n: elements of the input.
        p: units of the ReLU.
        d: logits.
        values: elements of all values of the network together.
    """

    n: int
    p: int
    d: int
    values: int


def sizes_at(graph: Graph, relu: Node) -> Sizes:
    """The sizes of a network at one of its cut points."""
    n, p, d = (prod(graph.shapes[value]) for value in (graph.input, relu.outputs[0], graph.logits))
    return Sizes(n, p, d, sum(prod(shape) for shape in graph.shapes.values()))


def memory(sizes: Sizes, storage: Storage, chunk: int, *, holds_matrix: bool) -> int:
    """Bytes that the building of a point, or its serving, takes at most: A, copies of it and the work on a chunk."""
    n, p, d = sizes.n, sizes.p, sizes.d
    work = chunk * (sizes.values + 2 * n) * _SINGLE + 2 * d * (n + p) * _SINGLE
    matrix = p * n * _SINGLE
    if storage.kind == "full":
        building, serving = 3 * matrix, p * n * _DOUBLE + 2 * p * p * _DOUBLE
    elif storage.kind == "gram":
        building, serving = 2 * matrix + 3 * p * p * _SINGLE, 5 * p * p * _DOUBLE
    else:
        building = 3 * (storage.rank + OVERSAMPLING) * (n + p) * _DOUBLE + (matrix if holds_matrix else 0)
        serving = 5 * p * p * _DOUBLE
    return max(building + work, serving)


def holds_matrix(sizes: Sizes, storage: Storage, chunk: int, limit: int) -> bool:
    """Whether A is held as a whole: always where its Gram matrix or A itself is kept, else if it fits."""
    return storage.kind != "low-rank" or memory(sizes, storage, chunk, holds_matrix=True) <= limit


def memory_refusal(graph: Graph, relu: Node, storage: Storage, limit: int, chunk: int = 1) -> str | None:
    """Why a bank cannot be built at a ReLU within ``limit`` bytes of memory, with the figures; None if it can."""
    sizes = sizes_at(graph, relu)
    needed = memory(sizes, storage, chunk, holds_matrix=storage.kind != "low-rank")
    if needed <= limit:
        return None
    what = {
        "full": f"the matrix A ({sizes.p:,} x {sizes.n:,}, {sizes.p * sizes.n * _SINGLE / 2**30:.2f} GiB in float32)",
        "gram": f"the matrix A ({sizes.p:,} x {sizes.n:,}) and its Gram matrix ({sizes.p:,} x {sizes.p:,})",
        "low-rank": f"what serves {sizes.p:,} units and {sizes.n:,} pixels",
    }[storage.kind]
    return (
        f"--store {storage.name} at {relu.name} needs {what}, {needed / 2**30:.3g} GiB with the work on it, more than "
        f"the {limit / 2**30:.3g} GiB of --memory"
    )


def alternative(graph: Graph, relu: Node, storage: Storage, limit: int) -> str:
    """What fits instead."""
    smaller = replace(SMALLEST, rank=min(SMALLEST.rank, max(1, storage.rank // 2))) if storage.rank else SMALLEST
    needed = memory(sizes_at(graph, relu), smaller, 1, holds_matrix=False)
    if storage != smaller and needed <= limit:
        return f"take --store {smaller.name}, which needs {needed / 2**30:.3g} GiB"
    return "give more --memory or take another --cut"
