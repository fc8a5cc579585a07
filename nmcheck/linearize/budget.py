"""What the matrices of a two-stage linearization take of memory, and whether nmcheck makes them."""

from __future__ import annotations

from math import prod

from nmcheck.graph.ir import Graph, Node

LARGEST_MATRIX = 2 * 2**30
"""Bytes of float64 that a single matrix of the two-stage linearization may take."""
_FLOAT64 = 8


def two_stage_bytes(graph: Graph, relu: Node) -> int:
    """Bytes of A, A A' and [C B] of an image, which are kept for all noise levels, in float64."""
    n, p, d = (prod(graph.shapes[value]) for value in (graph.input, relu.outputs[0], graph.logits))
    return _FLOAT64 * (p * n + p * p + d * (n + p))


def budget_refusal(graph: Graph, relu: Node) -> str | None:
    """Why a network cannot be linearized at a ReLU, with the figures; None if it can.

    With n inputs, p units and d logits, the matrices that grow are A (p x n), the Gram matrix A A' (p x p), the
    derivatives of the logits, B and C side by side (d x (p + n)), and the covariance of the logits (d x d). Each may
    take ``LARGEST_MATRIX`` bytes in float64.
    """
    n, p, d = (prod(graph.shapes[value]) for value in (graph.input, relu.outputs[0], graph.logits))
    name, (rows, columns) = max(
        {"A": (p, n), "A A'": (p, p), "[C B]": (d, n + p), "of the logits' covariance": (d, d)}.items(),
        key=lambda entry: prod(entry[1]),
    )
    size = _FLOAT64 * rows * columns
    if size <= LARGEST_MATRIX:
        return None
    return (
        f"{relu.name} has {p:,} units and the input {n:,} elements, so the matrix {name} ({rows:,} x {columns:,}) "
        f"takes {size / 2**30:.2f} GiB in float64, more than the {LARGEST_MATRIX / 2**30:.3g} GiB allowed"
    )
