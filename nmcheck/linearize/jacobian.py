"""Dense Jacobians of torch functions, in whichever mode needs fewer passes."""

from __future__ import annotations

from collections.abc import Callable

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
    value = function(point)
    if value.numel() <= point.numel():
        _, pullback = torch.func.vjp(function, point)
        rows = [
            torch.func.vmap(lambda row: pullback(row)[0])(basis)
            for basis in _basis(value, ROWS_PER_CHUNK)
        ]  # fmt: skip
        return value.flatten(), torch.cat(rows).reshape(value.numel(), point.numel())
    columns = [
        torch.func.vmap(lambda column: torch.func.jvp(function, (point,), (column,))[1])(basis)
        for basis in _basis(point, ROWS_PER_CHUNK)
    ]
    return value.flatten(), torch.cat(columns).reshape(point.numel(), value.numel()).mT.contiguous()


def _basis(like: Tensor, size: int) -> list[Tensor]:
    """The unit tensors of ``like``'s shape, ``size`` at a time."""
    count = like.numel()
    return [
        torch.eye(count, dtype=like.dtype, device=like.device)[start : start + size].reshape(-1, *like.shape)
        for start in range(0, count, size)
    ]
