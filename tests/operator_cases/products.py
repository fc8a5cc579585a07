"""Convolutions and matrix products."""

from models import weights

from operator_cases.case import IMAGE, Cases

CASES = Cases()
case = CASES.add

for auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
    case(
        "Conv",
        shape=IMAGE,
        inputs=("x", "w", "b"),
        constants={"w": weights(5, 4, 3, 2), "b": weights(5)},
        attributes={"auto_pad": auto_pad, "strides": [2, 1]},
        label=auto_pad,
    )
case(
    "Conv",
    shape=IMAGE,
    inputs=("x", "w"),
    constants={"w": weights(6, 2, 3, 3)},
    attributes={"group": 2, "pads": [1, 0, 2, 3], "strides": [1, 2]},
    label="group-asymmetric",
)
case(
    "Conv",
    shape=IMAGE,
    inputs=("x", "w", "b"),
    constants={"w": weights(2, 4, 3, 2), "b": weights(2)},
    attributes={"dilations": [2, 3], "pads": [1, 1, 1, 1]},
    label="dilated",
)
case("Conv", shape=(1, 3, 9), inputs=("x", "w"), constants={"w": weights(2, 3, 4)}, label="1d")
case("Conv", shape=(1, 2, 4, 5, 4), inputs=("x", "w"), constants={"w": weights(2, 2, 2, 3, 2)}, label="3d")
case(
    "Conv",
    shape=IMAGE,
    inputs=("x", "w"),
    constants={"w": weights(4, 1, 3, 3)},
    attributes={"group": 4},
    opset=7,
    label="depthwise",
)
for label, attributes in {
    "plain": {},
    "strided": {"strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 2]},
    "dilated-group": {"group": 2, "dilations": [2, 2]},
    "same-upper": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "same-lower": {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    "output-shape": {"output_shape": [14, 11], "strides": [2, 2]},
}.items():
    case(
        "ConvTranspose",
        shape=IMAGE,
        inputs=("x", "w", "b"),
        attributes=attributes,
        label=label,
        constants={"w": weights(4, 3, 3, 2), "b": weights(6 if "group" in label else 3)},
    )
case(
    "Gemm",
    shape=(2, 3),
    inputs=("x", "w", "c"),
    constants={"w": weights(3, 4), "c": weights(4)},
    attributes={"alpha": 0.5, "beta": 0.25},
    label="alpha-beta",
)
case(
    "Gemm",
    shape=(3, 2),
    inputs=("x", "w", "c"),
    constants={"w": weights(4, 3), "c": weights(2, 1)},
    attributes={"transA": 1, "transB": 1},
    label="transposed",
)
case("Gemm", shape=(3, 2), inputs=("w", "x"), constants={"w": weights(4, 3)}, label="left")
case("Gemm", shape=(2, 4), inputs=("a", "b", "x"), constants={"a": weights(2, 3), "b": weights(3, 4)}, label="summand")
case("Gemm", shape=(3, 2), inputs=("x", "x"), attributes={"transA": 1}, label="product")
case("Gemm", shape=(1, 3), inputs=("x", "w", "c"), constants={"w": weights(3, 4), "c": weights(1, 4)}, opset=7)
case("MatMul", shape=(1, 2, 3), inputs=("x", "w"), constants={"w": weights(3, 4)})
case("MatMul", shape=(2, 3, 4), inputs=("w", "x"), constants={"w": weights(5, 3)}, label="left")
case("MatMul", shape=(1, 2, 3, 4), inputs=("x", "w"), constants={"w": weights(2, 4, 2)}, label="stack")
case("MatMul", shape=(4,), inputs=("x", "w"), constants={"w": weights(4, 2)}, label="vector")
case(
    "Einsum",
    shape=(1, 3, 4),
    inputs=("x", "w"),
    constants={"w": weights(3, 4, 5)},
    attributes={"equation": "bij,ijk->bik"},
)
