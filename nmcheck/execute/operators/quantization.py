"""Quantization as what it computes: rounding to a grid, with derivative 0 almost everywhere."""

from __future__ import annotations

import numpy as np
import torch

from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.row import Kind, OperatorRow


def quantize(operands: Operands) -> Function:
    """QuantizeLinear: round(x / scale) + zero point, kept in the range of the zero point's type."""
    scale, zero = _grid(operands)
    kind = operands.required(2).dtype if operands.given(2) else np.dtype(np.uint8)
    if kind.kind not in "iu" or kind.itemsize > 2:
        raise operands.unsupported(f"it quantizes to {kind.name}")
    limits = np.iinfo(kind)
    return lambda x: torch.clamp(torch.round(x / scale) + zero, limits.min, limits.max)


def dequantize(operands: Operands) -> Function:
    """DequantizeLinear: (x - zero point) scale."""
    scale, zero = _grid(operands)
    return lambda x: (x - zero) * scale


def _grid(operands: Operands) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point, per tensor or along an axis."""
    if operands.integer("block_size", 0):
        raise operands.unsupported("it quantizes in blocks")
    scale = operands.required(1)
    zero = operands.required(2) if operands.given(2) else np.zeros(scale.shape)
    shape = operands.shape(0)
    if scale.ndim == 1 and scale.size > 1:
        axis = operands.integer("axis", 1) % len(shape)
        along = tuple(-1 if position == axis else 1 for position in range(len(shape)))
        scale, zero = scale.reshape(along), zero.reshape(along)
    return operands.as_tensor(scale), operands.as_tensor(zero.astype(np.float64))


ROWS = (
    OperatorRow("QuantizeLinear", Kind.PIECEWISE_LINEAR, quantize),
    OperatorRow("DequantizeLinear", Kind.AFFINE, dequantize),
)
