"""A low-rank factor of A A' by random projection, with or without A at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

OVERSAMPLING = 8
"""Random directions beyond the rank: Halko, Martinsson and Tropp (2011) advise 5 to 10."""
POWER_ITERATIONS = 1
"""Each costs a product with A and one with A', and sharpens a slowly falling spectrum."""


@dataclass(frozen=True)
class Matrix:
    """A matrix known by its products.

    Attributes:
        rows: p.
        columns: n.
        times_rows: from D, with rows of n elements, to D A'.
        combined: from W, with rows of p elements, to W A.
    """

    rows: int
    columns: int
    times_rows: Callable[[Float[Tensor, "k n"]], Float[Tensor, "k p"]]
    combined: Callable[[Float[Tensor, "k p"]], Float[Tensor, "k n"]]


def dense_matrix(A: Float[Tensor, "p n"]) -> Matrix:
    """A matrix at hand."""
    return Matrix(*A.shape, times_rows=lambda D: D @ A.mT, combined=lambda W: W @ A)


def low_rank_factor(matrix: Matrix, rank: int, seed: int) -> Float[Tensor, "p rank"]:
    """F with F F' ~ A A', of the largest ``rank`` directions of the range of A.

    The range finder of Halko, Martinsson and Tropp (2011, algorithm 4.4) with ``OVERSAMPLING`` and
    ``POWER_ITERATIONS``: Q spans A A' ... A Omega for a random Omega; with W = Q' A, F is Q U sqrt(L) for the leading
    eigenvectors U and eigenvalues L of W W'. F F' never exceeds A A', so what is missing can only be missing variance.
    Columns beyond min(p, n) are zero.

    Args:
        matrix: A.
        rank: columns of F.
        seed: of Omega.
    """
    width = min(rank + OVERSAMPLING, matrix.rows, matrix.columns)
    generator = torch.Generator().manual_seed(seed)
    sketch = matrix.times_rows(torch.randn(width, matrix.columns, generator=generator))
    for _ in range(POWER_ITERATIONS):
        sketch = matrix.times_rows(matrix.combined(_orthonormal(sketch)))
    basis = _orthonormal(sketch)
    inside = matrix.combined(basis).double()
    values, vectors = torch.linalg.eigh(inside @ inside.mT)
    kept = min(rank, width)
    leading = vectors[:, -kept:].flip(1) * values[-kept:].flip(0).clamp(min=0.0).sqrt()
    factor = torch.zeros(matrix.rows, rank)
    factor[:, :kept] = (basis.double().mT @ leading).float()
    return factor


def _orthonormal(rows: Float[Tensor, "k p"]) -> Float[Tensor, "k p"]:
    """Rows that span what ``rows`` span, in double precision: theirs may differ by many orders."""
    return torch.linalg.qr(rows.double().mT).Q.mT.to(rows.dtype)
