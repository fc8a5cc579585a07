"""The entrywise absolute value of an affine operator's weights, applied to a tensor: |W| v for v >= 0.

It carries intervals across the operator (|W (x - c)| <= |W| r for |x - c| <= r) and measures rounding. Where every
output element reads one element of each input, or all weights have one sign, |W| v is |W v|; where the weights are
constants, it is the operator itself with their absolute values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.program import Program
from nmcheck.execute.row import Kind
from nmcheck.execute.table import row_for
from nmcheck.graph.ir import Graph, Node
from nmcheck.steps import AffineStep

Magnitude = Callable[..., tuple[Tensor, ...]]
"""Of non-negative tensors, one for each input of the step, to one for each output."""

_SINGLE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Neg", "Sum", "Mean", "Where", "BatchNormalization", "Cast", "CastLike", "Concat",
     "Pad", "Trilu", "Identity", "Dropout"}
)  # fmt: skip
"""Operators whose output elements read one element of each input."""
_NONNEGATIVE = frozenset({"ReduceSum", "ReduceMean", "GlobalAveragePool", "AveragePool", "CumSum"})
"""Operators whose weights all have one sign."""
_WEIGHTED: Mapping[str, tuple[str, ...]] = {"Conv": (), "ConvTranspose": (), "Gemm": ("alpha", "beta"), "MatMul": ()}
"""Operators whose weights are the constants among their first two operands, times these attributes."""
_LARGEST_MATRIX = 2**24
"""Entries up to which the weights of an operator not named above are looked at one by one."""


def magnitude_of(graph: Graph, program: Program, step: AffineStep) -> Magnitude | None:
    """|W| of a step, or None where only the operator itself is known and its matrix is too large."""
    node = graph.by_name[step.node]
    repeated = len(set(graph.live_inputs(node))) < len(graph.live_inputs(node))
    if node.op in _WEIGHTED and not node.domain and not repeated:
        return _linear_part(_with_absolute_weights(graph, program, node))
    mode = node.attributes.get("mode", "nearest")
    interpolates = node.op in ("Resize", "Upsample") and mode in ("nearest", "linear")
    moves = row_for(node).kind_of(node, graph) is Kind.SHAPE
    # Of a step put in beside the node's own, such as a change of sign, the node says nothing.
    own = set(step.inputs) <= set(graph.live_inputs(node))
    if not own or moves or interpolates or (not node.domain and node.op in _SINGLE | _NONNEGATIVE):
        return _linear_part(step.function)
    return _entrywise(graph, step)


def _linear_part(function: Function) -> Magnitude:
    """Sum over the inputs of |J v|, J being the derivative with respect to that input alone."""

    def magnitude(*values: Tensor) -> tuple[Tensor, ...]:
        zeros = tuple(torch.zeros_like(value) for value in values)
        total: tuple[Tensor, ...] | None = None
        for position, value in enumerate(values):
            direction = (*zeros[:position], value, *zeros[position + 1 :])
            found = torch.func.jvp(function, zeros, direction)[1]
            parts = tuple(part.abs() for part in (found if isinstance(found, tuple) else (found,)))
            total = parts if total is None else tuple(a + b for a, b in zip(total, parts, strict=True))
        return total or ()

    return magnitude


def _with_absolute_weights(graph: Graph, program: Program, node: Node) -> Function:
    constants = dict(graph.constants)
    for position, name in enumerate(node.inputs):
        if name in graph.constants:
            weight = graph.constants[name]
            constants[name] = np.abs(weight) if position < 2 else np.zeros_like(weight)
    operands = Operands(graph, node, program.dtype, program.device)
    attributes = dict(node.attributes) | {
        name: abs(operands.number(name, 1.0)) for name in _WEIGHTED[node.op] if name in node.attributes
    }
    twin = replace(node, attributes=attributes)
    return row_for(node).build(replace(operands, graph=replace(graph, constants=constants), node=twin))


def _entrywise(graph: Graph, step: AffineStep) -> Magnitude | None:
    inputs = [graph.shapes[name] for name in step.inputs]
    outputs = [graph.shapes[name] for name in step.outputs]
    entries = sum(map(math.prod, inputs)) * sum(map(math.prod, outputs))
    if entries > _LARGEST_MATRIX:
        return None
    zeros = tuple(torch.zeros(shape, dtype=torch.float64) for shape in inputs)
    matrices = torch.func.jacrev(step.function, argnums=tuple(range(len(zeros))))(*zeros)

    def magnitude(*values: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            torch.stack(
                [
                    torch.tensordot(block.abs(), value, dims=value.ndim)
                    for block, value in zip(blocks, values, strict=True)
                ]
            ).sum(dim=0)
            for blocks in matrices
        )

    return magnitude
