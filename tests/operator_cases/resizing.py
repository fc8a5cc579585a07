"""Resizing and quantization."""

import numpy as np
from models import node, weights
from onnx import TensorProto

from operator_cases.case import Cases, ints, scalar

CASES = Cases()
case = CASES.add

for coordinates in ("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"):
    for mode in ("nearest", "linear"):
        case(
            "Resize",
            shape=(1, 2, 4, 5),
            inputs=("x", "", "s"),
            constants={"s": np.array([1, 1, 1.5, 2.4], dtype=np.float32)},
            attributes={"mode": mode, "coordinate_transformation_mode": coordinates},
            opset=13,
            label=f"{mode}-{coordinates}",
        )
case(
    "Resize",
    shape=(1, 2, 4, 5),
    inputs=("x", "", "", "z"),
    constants={"z": ints(1, 2, 3, 9)},
    attributes={"nearest_mode": "floor"},
    opset=13,
    label="sizes",
)
case(
    "Resize", shape=(1, 2, 4, 5), inputs=("x", "s"), constants={"s": np.array([1, 1, 2, 2], dtype=np.float32)}, opset=10
)
case("Upsample", shape=(1, 2, 4, 5), attributes={"scales": [1.0, 1.0, 2.0, 3.0]}, opset=7)
case(
    "Upsample",
    shape=(1, 2, 4, 5),
    inputs=("x", "s"),
    constants={"s": np.array([1, 1, 2, 3], dtype=np.float32)},
    attributes={"mode": "linear"},
    opset=9,
)
case("QuantizeLinear", inputs=("x", "s", "z"), constants={"s": scalar(0.1), "z": np.array(3, dtype=np.uint8)})
for kind in ("INT8", "INT4", "FLOAT8E4M3FN"):
    case(
        "QuantizeLinear",
        inputs=("x", "s"),
        constants={"s": scalar(0.1)},
        attributes={"output_dtype": TensorProto.DataType.Value(kind)},
        opset=21,
        label=kind,
    )
case(
    "QuantizeLinear",
    shape=(1, 2, 5),
    inputs=("x", "s", "z"),
    constants={"s": np.abs(weights(1, 2, 3)) + 0.1, "z": np.array([[[0, 3, -2], [1, 1, 0]]], dtype=np.int8)},
    attributes={"axis": 2, "block_size": 2},
    opset=21,
    label="blocks",
)
case(
    "DequantizeLinear",
    inputs=("a", "s", "z"),
    front=(node("QuantizeLinear", ["x", "s", "z"], ["a"]),),
    constants={"s": scalar(0.1), "z": np.array(3, dtype=np.int8)},
)
CHANNELS = {"s": np.abs(weights(3)) + 0.1, "z": np.array([3, 0, -4], dtype=np.int8)}
case(
    "DequantizeLinear",
    inputs=("a", "s", "z"),
    front=(node("QuantizeLinear", ["x", "s", "z"], ["a"], axis=1),),
    constants=CHANNELS,
    attributes={"axis": 1},
    label="channels",
)
