"""A batch of values as rows of a matrix, whatever the rank of one: a product of two vectors is a single number."""

from __future__ import annotations

from jaxtyping import Shaped
from torch import Tensor


def rows_of(batch: Shaped[Tensor, "rows *value"]) -> Shaped[Tensor, "rows elements"]:
    """Each value's elements in row-major order; a value without axes is a row of one."""
    return batch.flatten(1) if batch.ndim > 1 else batch.unsqueeze(1)
