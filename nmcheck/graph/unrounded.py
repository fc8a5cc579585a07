"""Numbers that a file computes from its weights, in float64.

A file may multiply its weights by each other and leave that to the runtime. Computed once in float32 or float16, the
product would carry a rounding error that double precision cannot take back; so beside that number, which decides
shapes, the float64 one is kept and computed on with. A cast to a narrower type is a rounding that the file asks for,
and stays one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from onnx import NodeProto

from nmcheck.graph.folding import evaluate

MAX_BYTES = 64 * 2**20
"""Bytes of all such numbers of a file; beyond them the file's own precision has to do."""

_ARITHMETIC = frozenset(
    {"Abs", "Acos", "Add", "Asin", "Atan", "AveragePool", "BatchNormalization", "Clip", "Conv", "ConvTranspose", "Cos",
     "Cosh", "CumSum", "Div", "Einsum", "Erf", "Exp", "Gemm", "GlobalAveragePool", "Log", "LogSoftmax",
     "LpNormalization", "MatMul", "Max", "Mean", "Min", "Mul", "Neg", "Pow", "Reciprocal", "ReduceL1", "ReduceL2",
     "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
     "ReduceSumSquare", "Relu", "Sigmoid", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Sub", "Sum",
     "Tan", "Tanh"}
)  # fmt: skip
"""Continuous operators: a step would tell a float64 number from the rounded one next to it."""
_MOVING = frozenset(
    {"Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "Pad",
     "Reshape", "ScatterElements", "ScatterND", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose",
     "Trilu", "Unsqueeze", "Where"}
)  # fmt: skip
_WIDTHS = {"float16": 1, "bfloat16": 1, "float32": 2, "float64": 3}
"""Types of numbers that are computed with, the wider the higher."""


def unrounded(
    node: NodeProto,
    constants: Mapping[str, np.ndarray],
    known: Mapping[str, np.ndarray],
    opsets: Mapping[str, int],
) -> dict[str, np.ndarray] | None:
    """The outputs of a node in float64, by name; none where they are exact already, or not in question.

    Args:
        node: a node without live inputs, whose outputs are among ``constants``.
        constants: values by name.
        known: those of them that have been computed in float64.
        opsets: versions of the operator sets, by domain.

    Returns:
        None where there is no room for them.
    """
    read = [name for name in node.input if name]
    if node.op_type in ("Cast", "CastLike"):
        kept = read[0] in known and _keeps(constants[read[0]], constants[node.output[0]])
        return {node.output[0]: known[read[0]]} if kept else {}
    is_known = any(name in known for name in read)
    is_new = any(_WIDTHS.get(constants[name].dtype.name, 3) < 3 for name in read)
    if not (node.op_type in _ARITHMETIC and (is_new or is_known)) and not (node.op_type in _MOVING and is_known):
        return {}
    outputs = [name for name in node.output if name]
    if any(constants[name].dtype.name not in _WIDTHS for name in outputs):
        return {}
    if sum(8 * constants[name].size for name in outputs) + sum(array.nbytes for array in known.values()) > MAX_BYTES:
        return None
    operands = {name: known.get(name, constants[name]) for name in read}
    doubles = {
        name: array.astype(np.float64) if array.dtype.name in _WIDTHS else array for name, array in operands.items()
    }
    try:
        values = _evaluated(node, doubles, opsets)
    except ValueError:
        return {}
    return {name: value for name, value in zip(outputs, values, strict=True) if value.dtype == np.float64}


def _keeps(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a cast rounds nothing."""
    widths = [_WIDTHS.get(array.dtype.name) for array in (before, after)]
    wider = widths[0] is not None and widths[1] is not None and widths[1] > widths[0]
    return wider or before.dtype == after.dtype


def _evaluated(node: NodeProto, doubles: Mapping[str, np.ndarray], opsets: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    if node.op_type == "Erf":
        # The reference implementation rounds it to float32, whatever it is asked for.
        return (np.vectorize(math.erf, otypes=[np.float64])(doubles[node.input[0]]),)
    return evaluate(node, doubles, opsets)
