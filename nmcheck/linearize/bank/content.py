"""From a linearization to the arrays that a bank keeps of it, and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nmcheck.linearize.bank.header import Header
from nmcheck.linearize.bank.storage import Storage

Content = dict[str, np.ndarray]
"""Arrays of one point, or those kept once for all."""


@dataclass(frozen=True, eq=False)
class KeptInner:
    """A as far as it was kept.

    Attributes:
        gram: A A', its diagonal exact.
        matrix: A; None unless the storage is ``full``.
    """

    gram: Float[Tensor, "p p"]
    matrix: Float[Tensor, "p n"] | None


def encode_rows(A: Float[Tensor, "p n"], storage: Storage) -> Content:
    """What ``gram`` and ``full`` keep of A."""
    norms = row_norms(A)
    unit = A / _divisor(norms)[:, None]
    kept = {"norms": norms.numpy()}
    if storage.kind == "full":
        return kept | {"rows": unit.numpy().astype(storage.numpy_dtype)}
    correlations = (unit @ unit.mT).flatten()[_above_diagonal(len(norms))]
    return kept | {"correlations": correlations.numpy().astype(storage.numpy_dtype)}


def encode_factor(norms: Float[Tensor, " p"], factor: Float[Tensor, "p rank"], storage: Storage) -> Content:
    """What ``low-rank`` keeps."""
    unit = factor / _divisor(norms)[:, None]
    return {"norms": norms.numpy(), "factor": unit.numpy().astype(storage.numpy_dtype)}


def decode_inner(content: Content, header: Header) -> KeptInner:
    """A A', and A where it was kept, in double precision."""
    norms = torch.from_numpy(content["norms"]).double()
    if header.storage.kind == "full":
        matrix = torch.from_numpy(content["rows"]).double() * norms[:, None]
        gram = matrix @ matrix.mT
        gram.diagonal().copy_(norms.square())
        return KeptInner(gram, matrix)
    p = header.p
    if header.storage.kind == "low-rank":
        factor = torch.from_numpy(content["factor"]).double()
        correlations = factor @ factor.mT
    else:
        correlations = torch.zeros(p * p, dtype=torch.float64)
        correlations[_above_diagonal(p)] = torch.from_numpy(content["correlations"]).double()
        correlations = correlations.reshape(p, p)
        correlations = correlations + correlations.mT
    correlations.diagonal().fill_(1.0)
    return KeptInner(correlations.mul_(norms[:, None]).mul_(norms), None)


def row_norms(A: Float[Tensor, "p n"]) -> Float[Tensor, " p"]:
    """Norms of the rows, rounded once; few rows at a time, for they are widened."""
    return torch.cat([torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64) for rows in A.split(32)]).float()


def captured_energy(content: Content) -> float:
    """The share of the squared norm of A that a low-rank factor has."""
    norms = content["norms"].astype(np.float64)
    factor = content["factor"].astype(np.float64) * norms[:, None]
    whole = float((norms**2).sum())
    return float((factor**2).sum()) / whole if whole > 0 else 1.0


@lru_cache(maxsize=1)
def _above_diagonal(p: int) -> Int64[Tensor, " pairs"]:
    """Positions of the strict upper triangle in a flattened (p, p) matrix, row by row."""
    i, j = torch.triu_indices(p, p, 1)
    return i * p + j


def _divisor(norms: Tensor) -> Tensor:
    """The norms; 1 for a row of zeros, which stays one."""
    return torch.where(norms > 0, norms, 1.0)
