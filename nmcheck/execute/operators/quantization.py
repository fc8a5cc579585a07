"""Quantization as what it computes: rounding to a grid, with derivative 0 almost everywhere."""

from __future__ import annotations

import numpy as np

from nmcheck.execute.on_demand import Tensor, torch
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.operators.casts import type_name
from nmcheck.execute.operators.narrow import FLOATS, WHOLE
from nmcheck.execute.row import Kind, OperatorRow


def quantize(operands: Operands) -> Function:
    """QuantizeLinear: round(x / scale) + zero point, kept in the range of the type; a float8 type rounds itself."""
    scale, zero = _grid(operands)
    name = _target(operands)
    if name in FLOATS:
        narrow, saturate = FLOATS[name], bool(operands.integer("saturate", 1))
        return lambda x: narrow.rounded(x / scale + zero, saturate)
    if name not in WHOLE:
        raise operands.unsupported(f"it quantizes to {name}")
    limits = WHOLE[name]
    return lambda x: torch.clamp(torch.round(x / scale) + zero, limits.low, limits.high)


def _target(operands: Operands) -> str:
    """Name of the type quantized to: the zero point's, else ``output_dtype``, else uint8."""
    if operands.given(2):
        return operands.required(2).dtype.name
    code = operands.integer("output_dtype", 0)
    return type_name(operands, code) if code else "uint8"


def dequantize(operands: Operands) -> Function:
    """DequantizeLinear: (x - zero point) scale."""
    scale, zero = _grid(operands)
    return lambda x: (x - zero) * scale


def _grid(operands: Operands) -> tuple[Tensor, Tensor]:
    """Scale and zero point, per tensor, along an axis or per block of elements along one."""
    scale = operands.required(1)
    zero = operands.required(2) if operands.given(2) else np.zeros(scale.shape)
    scale, zero = scale.astype(np.float64), zero.astype(np.float64)
    shape = operands.shape(0)
    block, axis = operands.integer("block_size", 0), operands.integer("axis", 1)
    if block:
        axis = axis % len(shape)
        length = shape[axis]
        scale, zero = (np.repeat(values, block, axis).take(range(length), axis) for values in (scale, zero))
    elif scale.ndim == 1 and scale.size > 1:
        axis = axis % len(shape)
        along = tuple(-1 if position == axis else 1 for position in range(len(shape)))
        scale, zero = scale.reshape(along), zero.reshape(along)
    return operands.as_tensor(scale), operands.as_tensor(zero)


ROWS = (
    OperatorRow("QuantizeLinear", Kind.PIECEWISE_LINEAR, quantize),
    OperatorRow("DequantizeLinear", Kind.AFFINE, dequantize),
)
