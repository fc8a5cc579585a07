"""Casts, and inputs that are whole numbers or truth values."""

import numpy as np
from models import node, weights
from onnx import TensorProto

from operator_cases.case import Cases, ints, scalar

CASES = Cases()
case = CASES.add

# Up to the largest numbers of the 8-bit types and a little beyond, down to zero.
BY = {"w": (2.0 ** np.arange(-10, 8)).astype(np.float32)[::2]}
LARGE = (node("Mul", ["x", "w"], ["a"]),)
case("Cast", attributes={"to": TensorProto.FLOAT})
case("Cast", attributes={"to": TensorProto.INT32}, label="int")
case("Cast", attributes={"to": TensorProto.BOOL}, label="bool")
case("Cast", shape=(40, 9), attributes={"to": TensorProto.INT8}, label="int8", front=LARGE, inputs=("a",), constants=BY)
for kind in ("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"):
    for saturate in (0, 1):
        case(
            "Cast",
            shape=(40, 9),
            inputs=("a",),
            front=LARGE,
            constants=BY,
            attributes={"to": TensorProto.DataType.Value(kind), "saturate": saturate},
            opset=19,
            label=f"{kind}-{'saturated' if saturate else 'overflowing'}",
        )
case("CastLike", inputs=("x", "c"), constants={"c": weights(1)})
case("CastLike", inputs=("x", "c"), constants={"c": np.zeros(1, np.int32)}, label="int")
# Inputs that are not plain numbers.
WHOLE = (node("Cast", ["x"], ["a"], to=TensorProto.INT32),)
case("Div", inputs=("a", "c"), front=WHOLE, constants={"c": np.array(-2, dtype=np.int32)}, label="whole")
case(
    "Div",
    inputs=("a", "b"),
    front=(*WHOLE, node("Add", ["a", "c"], ["s"]), node("Reshape", ["s", "r"], ["b"])),
    constants={"c": np.array(9, dtype=np.int32), "r": ints(1, 3, 5)},
    label="whole-both",
)
ABOVE = (node("Greater", ["x", "c"], ["a"]),)
for op in ("And", "Or", "Xor"):
    case(
        op,
        inputs=("a", "k"),
        front=ABOVE,
        constants={"c": scalar(0.1), "k": np.array([True, False, True, False, True])},
    )
case("Not", inputs=("a",), front=ABOVE, constants={"c": scalar(0.1)})
case("Acosh", inputs=("a",), front=(node("Add", ["x", "c"], ["a"]),), constants={"c": scalar(2)}, positive=True)
