"""Pooling by windows and over whole feature maps.

The input is padded explicitly, so that torch's pooling, itself without padding, yields exactly the windows ONNX wants;
this covers asymmetric padding, every ``auto_pad`` and ``ceil_mode``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from itertools import product

import numpy as np

from nmcheck.execute.on_demand import Tensor, functional, torch
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.operators.arithmetic import elementwise
from nmcheck.execute.row import Kind, OperatorRow
from nmcheck.execute.windows import Window, torch_pads, window_of

_MAX_POOL = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE_POOL = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


def max_pool(operands: Operands) -> Function:
    """MaxPool; padding is -infinity."""
    window, pads = _window(operands)
    pool = _MAX_POOL[len(window.kernel)]
    if not any(pads):
        return lambda x: pool(x, window.kernel, window.strides, 0, window.dilations)
    return lambda x: pool(functional.pad(x, pads, value=-math.inf), window.kernel, window.strides, 0, window.dilations)


def average_pool(operands: Operands) -> Function:
    """AveragePool: the sum over the taps by the number of taps that count."""
    window, pads = _window(operands)
    total = _window_sum(window, pads)
    factors = operands.as_tensor(1.0 / _counted_taps(operands, window))
    return lambda x: total(x) * factors


def lp_pool(operands: Operands) -> Function:
    """LpPool: the p-norm over the taps."""
    window, pads = _window(operands)
    total, p = _window_sum(window, pads), operands.number("p", 2.0)
    return lambda x: _root(total(_power_of_magnitude(x, p)), p)


def _window(operands: Operands) -> tuple[Window, list[int]]:
    """The windows and the padding, in torch's order, that makes room for them.

    Raises:
        UnsupportedError: dilated windows are padded by ``auto_pad``: onnxruntime pads as if they were not dilated, and
            its output may even have another shape than ONNX says.
    """
    same = operands.text("auto_pad", "NOTSET").startswith("SAME")
    if same and any(dilation > 1 for dilation in operands.integers("dilations") or ()):
        raise operands.unsupported("it pads dilated windows by auto_pad, where onnxruntime departs from ONNX")
    window = window_of(operands, operands.integers("kernel_shape") or ())
    end = window.reaching(operands.shape(0)[2:], operands.output_shape[2:])
    return window, torch_pads(window.begin, end)


def _window_sum(window: Window, pads: list[int]) -> Callable[[Tensor], Tensor]:
    taps = math.prod(window.kernel)
    if all(dilation == 1 for dilation in window.dilations):
        pool = _AVERAGE_POOL[len(window.kernel)]
        return lambda x: pool(functional.pad(x, pads) if any(pads) else x, window.kernel, window.strides) * taps

    # torch's average pooling has no dilation: the taps are added one by one.
    def apply(x: Tensor) -> Tensor:
        padded = functional.pad(x, pads)
        return reduce(torch.add, (padded[(..., *slices)] for slices in tap_slices(padded.shape)))

    def tap_slices(shape: torch.Size) -> list[tuple[slice, ...]]:
        axes = []
        sizes = shape[-len(window.kernel) :]
        for size, extent, stride, dilation, count in zip(
            sizes, window.extents, window.strides, window.dilations, window.kernel, strict=True
        ):
            outputs = (size - extent) // stride + 1
            starts = [tap * dilation for tap in range(count)]
            axes.append([slice(start, start + (outputs - 1) * stride + 1, stride) for start in starts])
        return list(product(*axes))

    return apply


def _counted_taps(operands: Operands, window: Window) -> np.ndarray:
    """How many taps of each window count: those in the input, or with ``count_include_pad`` in the padded input."""
    padded = bool(operands.integer("count_include_pad", 0))
    counts = np.ones(())
    sizes, outputs = operands.shape(0)[2:], operands.output_shape[2:]
    for axis, (size, output) in enumerate(zip(sizes, outputs, strict=True)):
        first = np.arange(output) * window.strides[axis] - window.begin[axis]
        taps = first[:, None] + window.dilations[axis] * np.arange(window.kernel[axis])
        low, high = (-window.begin[axis], size + window.end[axis]) if padded else (0, size)
        inside = ((taps >= low) & (taps < high)).sum(axis=1)
        counts = counts[..., None] * np.maximum(inside, 1)
    return counts


def _power_of_magnitude(x: Tensor, p: float) -> Tensor:
    if p == 1:
        return x.abs()
    return x * x if p == 2 else x.abs().pow(p)


def _root(total: Tensor, p: float) -> Tensor:
    """total^(1/p), with derivative 0 where the total is 0."""
    if p == 1:
        return total
    positive = total > 0
    return torch.where(positive, torch.where(positive, total, 1.0).pow(1 / p), 0.0)


def _spatial_axes(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def _global_average(x: Tensor) -> Tensor:
    return x.mean(dim=_spatial_axes(x), keepdim=True)


def _global_max(x: Tensor) -> Tensor:
    return x.amax(dim=_spatial_axes(x), keepdim=True)


def global_lp_pool(operands: Operands) -> Function:
    """GlobalLpPool: the p-norm over a feature map."""
    p = operands.number("p", 2.0)
    return lambda x: _root(_power_of_magnitude(x, p).sum(dim=_spatial_axes(x), keepdim=True), p)


ROWS = (
    OperatorRow("MaxPool", Kind.PIECEWISE_LINEAR, max_pool),
    OperatorRow("AveragePool", Kind.AFFINE, average_pool),
    OperatorRow("LpPool", Kind.SMOOTH, lp_pool, since=2),
    OperatorRow("GlobalAveragePool", Kind.AFFINE, elementwise(_global_average)),
    OperatorRow("GlobalMaxPool", Kind.PIECEWISE_LINEAR, elementwise(_global_max)),
    OperatorRow("GlobalLpPool", Kind.SMOOTH, global_lp_pool, since=2),
)
