"""Numbers that a file computes from its weights, in float64.

A file may multiply its weights by each other and leave that to the runtime. Computed once in float32, the product would
carry a rounding error that double precision cannot take back; so beside the float32 number, which decides shapes, the
float64 one is kept and computed on with.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto

from nmcheck.graph.folding import evaluate

MAX_BYTES = 64 * 2**20
"""Bytes of all such numbers of a file; beyond them float32 has to do."""

_ARITHMETIC = frozenset(
    {"Abs", "Add", "Cos", "Div", "Erf", "Exp", "Gemm", "Log", "MatMul", "Max", "Mean", "Min", "Mul", "Neg", "Pow",
     "Reciprocal", "ReduceMean", "ReduceSum", "ReduceSumSquare", "Sigmoid", "Sin", "Softmax", "Sqrt", "Sub", "Sum",
     "Tanh"}
)  # fmt: skip
"""Continuous operators: a step would tell a float64 number from the float32 one next to it."""
_MOVING = frozenset(
    {"Concat", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Tile",
     "Transpose", "Unsqueeze"}
)  # fmt: skip


def unrounded(
    node: NodeProto,
    constants: Mapping[str, np.ndarray],
    known: Mapping[str, np.ndarray],
    opsets: Mapping[str, int],
) -> dict[str, np.ndarray]:
    """The outputs of a node in float64, by name; none where they are float32 numbers already, or not in question.

    Args:
        node: a node without live inputs, whose outputs are among ``constants``.
        constants: values by name.
        known: those of them that have been computed in float64.
        opsets: versions of the operator sets, by domain.
    """
    read = [name for name in node.input if name]
    if node.op_type == "Cast":
        same = constants[node.output[0]].dtype == np.float32 and read[0] in known
        return {node.output[0]: known[read[0]]} if same else {}
    is_new = node.op_type in _ARITHMETIC and any(constants[name].dtype == np.float32 for name in read)
    is_moved = node.op_type in _MOVING and any(name in known for name in read)
    if not (is_new or is_moved):
        return {}
    outputs = [name for name in node.output if name]
    size = sum(8 * constants[name].size for name in outputs) + sum(array.nbytes for array in known.values())
    if size > MAX_BYTES or any(constants[name].dtype != np.float32 for name in outputs):
        return {}
    operands = {name: known.get(name, constants[name]) for name in read}
    doubles = {
        name: array.astype(np.float64) if array.dtype == np.float32 else array for name, array in operands.items()
    }
    try:
        values = evaluate(node, doubles, opsets)
    except ValueError:
        return {}
    return {name: value for name, value in zip(outputs, values, strict=True) if value.dtype == np.float64}
