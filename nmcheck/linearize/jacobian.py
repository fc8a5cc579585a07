"""Dense Jacobians of torch functions, in whichever mode needs fewer passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

ROWS_PER_CHUNK = 128
"""Directions pushed through the network at once: among the fastest of 32 to 250 on LeNet."""


def jacobian(
    function: Callable[[Tensor], Tensor], point: Tensor
) -> tuple[Float[Tensor, " outputs"], Float[Tensor, "outputs inputs"]]:
    """Value and Jacobian of ``function`` at ``point``, both flattened.

    Reverse mode (one vector-Jacobian product an output) where there are no more outputs than inputs, forward mode (one
    Jacobian-vector product an input) otherwise. Both give the exact derivative; at a kink, torch's choice of it.

    Args:
        function: a ``torch.func``-compatible function of one tensor.
        point: where to differentiate, in the shape ``function`` takes.

    Returns:
        The flattened value, shape (outputs,), and the Jacobian, shape (outputs, inputs).
    """
    return mean_jacobian(function, (point,))


def mean_jacobian(
    function: Callable[[Tensor], Tensor], points: Sequence[Tensor]
) -> tuple[Float[Tensor, " outputs"], Float[Tensor, "outputs inputs"]]:
    """Value and Jacobian of ``function``, both flattened and averaged over points of one shape; as ``jacobian``."""
    values = [function(point) for point in points]
    rows, columns = values[0].numel(), points[0].numel()
    # Filled in place: A of a large network fits in memory once, not twice.
    matrix = points[0].new_zeros(rows, columns)
    for point, value in zip(points, values, strict=True):
        if rows <= columns:
            pullback = torch.func.vjp(function, point)[1]
            for chosen, basis in _basis(value, ROWS_PER_CHUNK):
                slopes = torch.func.vmap(lambda row, pull=pullback: pull(row)[0])(basis)
                matrix[chosen] += slopes.flatten(1) / len(points)
        else:
            for chosen, basis in _basis(point, ROWS_PER_CHUNK):
                slopes = torch.func.vmap(lambda column, at=point: torch.func.jvp(function, (at,), (column,))[1])(basis)
                matrix[:, chosen] += slopes.flatten(1).mT / len(points)
    return torch.stack(values).mean(dim=0).flatten(), matrix


def _basis(like: Tensor, size: int) -> Iterator[tuple[slice, Tensor]]:
    """The unit tensors of ``like``'s shape, ``size`` at a time and never all at once, with their positions."""
    count = like.numel()
    for start in range(0, count, size):
        stop = min(start + size, count)
        rows = torch.zeros(stop - start, count, dtype=like.dtype, device=like.device)
        rows.diagonal(offset=start).fill_(1.0)
        yield slice(start, stop), rows.reshape(-1, *like.shape)
