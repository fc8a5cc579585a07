"""Reductions over axes."""

from __future__ import annotations

import math
from collections.abc import Callable

from nmcheck.execute.on_demand import Tensor, torch
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.row import Kind, OperatorRow


def _l2(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return _safe_sqrt((x * x).sum(dim=axes))


def _safe_sqrt(total: Tensor) -> Tensor:
    """Square root with derivative 0 at 0."""
    positive = total > 0
    return torch.where(positive, torch.where(positive, total, 1.0).sqrt(), 0.0)


def _prod(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(dim=axis)
    return x


def _largest(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.amax(dim=axes) if _has_elements(x, axes) else _of_nothing(x, axes, -math.inf)


def _smallest(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.amin(dim=axes) if _has_elements(x, axes) else _of_nothing(x, axes, math.inf)


def _has_elements(x: Tensor, axes: tuple[int, ...]) -> bool:
    return all(x.shape[axis] for axis in axes)


def _of_nothing(x: Tensor, axes: tuple[int, ...], limit: float) -> Tensor:
    """What the largest or smallest of no elements is said to be: an infinity, or the truth value nearest to it."""
    total = x.sum(dim=axes) + limit
    return total > 0 if x.dtype == torch.bool else total


_REDUCTIONS: dict[str, tuple[Kind, Callable[[Tensor, tuple[int, ...]], Tensor]]] = {
    "ReduceMean": (Kind.AFFINE, lambda x, axes: x.mean(dim=axes)),
    "ReduceSum": (Kind.AFFINE, lambda x, axes: x.sum(dim=axes)),
    "ReduceMax": (Kind.PIECEWISE_LINEAR, _largest),
    "ReduceMin": (Kind.PIECEWISE_LINEAR, _smallest),
    "ReduceL1": (Kind.PIECEWISE_LINEAR, lambda x, axes: x.abs().sum(dim=axes)),
    "ReduceL2": (Kind.SMOOTH, _l2),
    "ReduceSumSquare": (Kind.SMOOTH, lambda x, axes: (x * x).sum(dim=axes)),
    "ReduceLogSum": (Kind.SMOOTH, lambda x, axes: x.sum(dim=axes).log()),
    "ReduceLogSumExp": (Kind.SMOOTH, lambda x, axes: torch.logsumexp(x, dim=axes)),
    "ReduceProd": (Kind.SMOOTH, _prod),
}


def _reduction(function: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Callable[[Operands], Function]:
    def build(operands: Operands) -> Function:
        rank, output = len(operands.shape(0)), operands.output_shape
        axes = operands.axes(1)
        if not axes and operands.integer("noop_with_empty_axes", 0):
            return _without_reduction(operands, function)
        axes = tuple(axis % rank for axis in axes) if axes else tuple(range(rank))
        return lambda x: function(x, axes).reshape(output) if axes else function(x.reshape(1), (0,)).reshape(output)

    return build


def _without_reduction(operands: Operands, function: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Function:
    """``noop_with_empty_axes`` keeps every element apart; the elementwise part of the reduction still applies."""
    output = operands.output_shape
    return lambda x: function(x.reshape(*output, 1), (len(output),))


def cumulative_sum(operands: Operands) -> Function:
    """CumSum along an axis, optionally from behind and without the element itself."""
    axes = operands.integers_at(1)
    if axes is None:
        raise operands.invalid("its axis is missing")
    axis, reverse = axes[0], bool(operands.integer("reverse", 0))
    exclusive = bool(operands.integer("exclusive", 0))

    def apply(x: Tensor) -> Tensor:
        ordered = x.flip(axis) if reverse else x
        total = ordered.cumsum(axis)
        total = total - ordered if exclusive else total
        return total.flip(axis) if reverse else total

    return apply


ROWS = (
    *(OperatorRow(op, kind, _reduction(function)) for op, (kind, function) in _REDUCTIONS.items()),
    OperatorRow("CumSum", Kind.AFFINE, cumulative_sum),
)
