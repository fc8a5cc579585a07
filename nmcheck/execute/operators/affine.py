"""Convolutions and matrix products."""

from __future__ import annotations

from nmcheck.execute.on_demand import Tensor, functional, torch
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.row import Kind, OperatorRow, affine_in_one
from nmcheck.execute.windows import torch_pads, window_of
from nmcheck.graph.ir import Graph, Node

_CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def conv(operands: Operands) -> Function:
    """Conv with groups, dilation, asymmetric padding and every ``auto_pad``."""
    window = window_of(operands, tuple(operands.shape(1)[2:]))
    group, axes = operands.integer("group", 1), len(window.kernel)
    if operands.shape(0)[1] != operands.shape(1)[1] * group:
        raise operands.invalid(f"{operands.shape(0)[1]} channels do not fit weights of shape {operands.shape(1)}")
    symmetric = window.begin == window.end and min(window.begin) >= 0
    padding = window.begin if symmetric else (0,) * axes
    pads = torch_pads(window.begin, window.end)

    def apply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        padded = x if symmetric else functional.pad(x, pads)
        return _CONV[axes](padded, weight, bias, window.strides, padding, window.dilations, group)

    return operands.filled(apply)


def conv_transpose(operands: Operands) -> Function:
    """ConvTranspose: all contributions first, then cropped to the output's shape, then the bias."""
    window = window_of(operands, tuple(operands.shape(1)[2:]))
    group, axes = operands.integer("group", 1), len(window.kernel)
    sizes, outputs = operands.shape(0)[2:], operands.output_shape[2:]
    full = [(size - 1) * s + extent for size, s, extent in zip(sizes, window.strides, window.extents, strict=True)]
    begin = _transposed_begin(operands, window.begin, full)
    ends = [out - length + first for out, length, first in zip(outputs, full, begin, strict=True)]
    pads = torch_pads([-first for first in begin], ends)

    def apply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        result = _TRANSPOSED[axes](x, weight, None, window.strides, 0, 0, group, window.dilations)
        result = functional.pad(result, pads)
        return result if bias is None else result + bias.reshape(-1, *(1,) * axes)

    return operands.filled(apply)


def _transposed_begin(operands: Operands, declared: tuple[int, ...], full: list[int]) -> list[int]:
    """How much is cropped in front; with ``auto_pad`` or ``output_shape`` about half of what is too much."""
    auto_pad = operands.text("auto_pad", "NOTSET")
    if auto_pad == "VALID":
        return [0] * len(full)
    if auto_pad == "NOTSET" and operands.integers("output_shape") is None:
        return list(declared)
    extra = operands.integers("output_padding") or (0,) * len(full)
    outputs = operands.output_shape[2:]
    totals = [max(length + more - out, 0) for length, more, out in zip(full, extra, outputs, strict=True)]
    return [total // 2 if auto_pad == "SAME_UPPER" else total - total // 2 for total in totals]


def gemm(operands: Operands) -> Function:
    """Gemm: alpha A B + beta C, A and B transposed at will."""
    alpha, beta = operands.number("alpha", 1.0), operands.number("beta", 1.0)
    first, second = operands.integer("transA", 0), operands.integer("transB", 0)
    A, B = operands.shape(0), operands.shape(1)
    if len(A) != 2 or len(B) != 2 or A[0 if first else 1] != B[1 if second else 0]:
        raise operands.invalid(f"matrices of shape {list(A)} and {list(B)} cannot be multiplied")

    def apply(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = (a.mT if first else a) @ (b.mT if second else b)
        product = product if alpha == 1 else alpha * product
        if c is None or beta == 0:
            return product
        return product + (c if beta == 1 else beta * c)

    return operands.filled(apply)


def matmul(operands: Operands) -> Function:
    """MatMul with numpy's rules for stacks and vectors."""
    return operands.filled(torch.matmul)


def einsum(operands: Operands) -> Function:
    """Einsum by torch, which knows the same notation."""
    equation = operands.text("equation", "")
    return operands.filled(lambda *values: torch.einsum(equation, *values))


def _product_kind(node: Node, graph: Graph) -> Kind:
    """Affine unless both factors are live; the summand may be."""
    live = graph.live_inputs(node)
    return Kind.SMOOTH if node.inputs[0] in live and node.inputs[1] in live else Kind.AFFINE


ROWS = (
    OperatorRow("Conv", Kind.AFFINE, conv, _product_kind),
    OperatorRow("ConvTranspose", Kind.AFFINE, conv_transpose, _product_kind),
    OperatorRow("Gemm", Kind.AFFINE, gemm, _product_kind),
    OperatorRow("MatMul", Kind.AFFINE, matmul, _product_kind),
    OperatorRow("Einsum", Kind.AFFINE, einsum, affine_in_one),
)
