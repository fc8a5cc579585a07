"""Pools."""

from operator_cases.case import IMAGE, Cases

CASES = Cases()
case = CASES.add

POOLS = {
    "plain": {"kernel_shape": [2, 3]},
    "strided": {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]},
    "ceil": {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    "ceil-pads": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    "same-upper": {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "same-lower": {"kernel_shape": [2, 3], "strides": [2, 1], "auto_pad": "SAME_LOWER"},
    "valid": {"kernel_shape": [2, 2], "auto_pad": "VALID"},
    "same-skipping": {"kernel_shape": [1, 2], "strides": [3, 4], "auto_pad": "SAME_UPPER"},
}
for label, attributes in POOLS.items():
    case("MaxPool", shape=IMAGE, attributes=attributes, label=label)
    case("AveragePool", shape=IMAGE, attributes=attributes, label=label, opset=19)
    case(
        "AveragePool",
        shape=IMAGE,
        attributes={**attributes, "count_include_pad": 1},
        label=f"{label}-counted",
        opset=19,
    )
    if "ceil" not in label:
        case("LpPool", shape=IMAGE, attributes={**attributes, "p": 3}, label=label)
        case("AveragePool", shape=IMAGE, attributes=attributes, label=label, opset=7)
case("MaxPool", shape=IMAGE, attributes={"kernel_shape": [2, 2], "dilations": [2, 3]}, label="dilated")
case("MaxPool", shape=(1, 2, 9), attributes={"kernel_shape": [3]}, label="1d")
case("MaxPool", shape=(1, 2, 4, 4, 5), attributes={"kernel_shape": [2, 3, 2]}, label="3d")
case("AveragePool", shape=(1, 2, 9), attributes={"kernel_shape": [3], "pads": [1, 1]}, label="1d")
case("AveragePool", shape=(1, 2, 4, 4, 5), attributes={"kernel_shape": [2, 3, 2]}, label="3d")
case(
    "AveragePool",
    shape=IMAGE,
    attributes={"kernel_shape": [2, 2], "dilations": [2, 3], "strides": [2, 1]},
    opset=19,
    label="dilated",
)
case("LpPool", shape=IMAGE, attributes={"kernel_shape": [2, 2], "p": 1}, label="p1")
case("LpPool", shape=IMAGE, attributes={"kernel_shape": [2, 2]}, label="p2")
for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
    case(op, shape=IMAGE)
