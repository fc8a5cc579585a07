"""Casts between number types.

Floating-point types of 16 bits and more are all computed in the program's own, a precision the file asks for in between
notwithstanding. Whole numbers are held as rounded floating-point numbers, so that they mix with the rest.
"""

from __future__ import annotations

from nmcheck.execute.on_demand import torch
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.operators.narrow import FLOATS, WHOLE, rounded_scale
from nmcheck.execute.row import Kind, OperatorRow
from nmcheck.graph.ir import Graph, Node

_TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz",
    19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4_e2m1fn", 24: "float8_e8m0fnu",
    25: "uint2", 26: "int2",
}  # fmt: skip
"""Numpy's names of ONNX's number types."""
_REAL = ("float16", "bfloat16", "float32", "float64")


def type_name(operands: Operands, code: int) -> str:
    """Numpy's name of one of ONNX's types.

    Raises:
        UnsupportedError: it is not a type of real numbers.
    """
    if code not in _TYPES:
        raise operands.unsupported(f"it makes text or complex numbers (type {code})")
    return _TYPES[code]


def cast(operands: Operands) -> Function:
    """Cast to the type ``to``."""
    return _cast_to(operands, type_name(operands, operands.integer("to", 1)))


def cast_like(operands: Operands) -> Function:
    """CastLike: to the type of a constant; a type that depends on the sample is taken to be floating-point."""
    if not operands.is_live(0):
        raise operands.unsupported("nothing but the type of its output depends on the sample")
    if operands.is_live(1):
        dtype = operands.dtype
        return lambda *values: values[0].to(dtype)
    name = operands.required(1).dtype.name
    if name not in _TYPES.values():
        raise operands.unsupported(f"it casts to {name}")
    return _cast_to(operands, name)


def _cast_to(operands: Operands, name: str) -> Function:
    dtype, saturate = operands.dtype, bool(operands.integer("saturate", 1))
    if name in _REAL:
        return lambda x: x.to(dtype)
    if name == "bool":
        return lambda x: x != 0
    if name in FLOATS:
        narrow = FLOATS[name]
        return lambda x: narrow.rounded(x.to(dtype), saturate)
    if name == "float8_e8m0fnu":
        mode = operands.text("round_mode", "up")
        return lambda x: rounded_scale(x.to(dtype), mode, saturate)
    if name in WHOLE:
        whole = WHOLE[name]
        return lambda x: whole.wrapped(x.to(dtype))
    return lambda x: torch.trunc(x.to(dtype))


def _cast_kind(node: Node, graph: Graph) -> Kind:
    if node.op == "Cast":
        code = node.attributes.get("to")
        name = _TYPES.get(code, "") if isinstance(code, int) else ""
    else:
        like = graph.constants.get(node.inputs[1])
        name = "float32" if like is None else like.dtype.name
    return Kind.AFFINE if name in _REAL else Kind.PIECEWISE_LINEAR


ROWS = (
    OperatorRow("Cast", Kind.AFFINE, cast, _cast_kind),
    OperatorRow("CastLike", Kind.AFFINE, cast_like, _cast_kind),
)
