"""One-node models for every row of the operator table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from models import model, node, weights
from onnx import ModelProto, NodeProto, TensorProto


@dataclass(frozen=True)
class OperatorCase:
    """A node with one live input ``x``.

    Attributes:
        op: operator type.
        shape: shape of x.
        inputs: names of the inputs; ``x`` is live, the others are ``constants``.
        constants: constant operands.
        attributes: of the node.
        opset: operator set of the file.
        outputs: number of outputs; several are concatenated.
        positive: whether x must be positive.
        small: whether x must lie in (-1, 1).
        front: nodes in front of the one in question.
        label: what is special, for the test's name.
    """

    op: str
    shape: tuple[int, ...] = (1, 3, 5)
    inputs: tuple[str, ...] = ("x",)
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, object] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    positive: bool = False
    small: bool = False
    front: tuple[NodeProto, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.op, str(self.opset), self.label)))

    def onnx_model(self) -> ModelProto:
        """The one node; a boolean or integer output is cast to float behind it, several outputs are concatenated."""
        names = [f"y{index}" for index in range(self.outputs)]
        nodes = [*self.front, node(self.op, self.inputs, names, **self.attributes)]
        if self.outputs > 1:
            nodes.append(node("Concat", names, ["y"], axis=-1))
        else:
            nodes.append(node("Cast", names, ["y"], to=TensorProto.FLOAT))
        return model(nodes, self.shape, self.constants, opset=self.opset, ir_version=8 if self.opset < 19 else 10)

    def samples(self, count: int, shape: tuple[int, ...]) -> np.ndarray:
        """Inputs for which the operator is defined, each of the graph's input shape."""
        x = weights(count, *shape)
        if self.positive:
            x = np.abs(x) + 0.1
        return np.tanh(x) * 0.9 if self.small else x


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def scalar(value: float) -> np.ndarray:
    return np.array(value, dtype=np.float32)


IMAGE = (1, 4, 7, 6)
CASES: list[OperatorCase] = []


def case(op: str, **fields: object) -> None:
    CASES.append(OperatorCase(op, **fields))  # type: ignore[arg-type]


# Convolutions.
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
# Matrix products.
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
# Arithmetic.
for op in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
    for opset in (7, 17):
        case(
            op,
            inputs=("x", "c"),
            constants={"c": weights(3, 1) + 3},
            opset=opset if op not in ("Max", "Min") else max(opset, 8),
        )
    case(op, inputs=("c", "x"), constants={"c": weights(2, 3, 5)}, positive=True, label="left")
    case(op, inputs=("x", "x"), positive=True, label="both")
for op in ("Mul", "Div"):
    case(op, inputs=("x", "c"), constants={"c": scalar(3.0)}, label="scalar")
for op in ("Sum", "Mean"):
    case(op, inputs=("x", "c", "x"), constants={"c": weights(5)})
for op in ("Neg", "Abs", "Exp", "Erf", "Sigmoid", "Tanh", "Relu", "Softplus", "Softsign", "Sin", "Cos", "Atan", "Sinh",
           "Cosh", "Asinh", "Sign", "Floor", "Ceil", "Round", "HardSwish", "LeakyRelu", "Elu", "Celu", "Selu",
           "ThresholdedRelu", "HardSigmoid", "Shrink", "Identity"):  # fmt: skip
    case(op)
for op in ("Log", "Sqrt", "Reciprocal"):
    case(op, positive=True)
for op in ("Tan", "Asin", "Acos", "Atanh"):
    case(op, small=True)
case("Pow", inputs=("x", "e"), constants={"e": scalar(3.0)}, label="whole")
case("Pow", inputs=("x", "e"), constants={"e": scalar(0.75)}, positive=True, label="root")
case("Pow", inputs=("x", "e"), constants={"e": ints(2)}, label="integer-exponent")
case("Pow", inputs=("x", "e"), constants={"e": np.abs(weights(5))}, positive=True, label="per-element")
case("Pow", inputs=("b", "x"), constants={"b": scalar(2.0)}, label="exponential")
case("Mod", inputs=("x", "c"), constants={"c": scalar(0.7)}, attributes={"fmod": 1})
case("Where", inputs=("c", "x", "o"), constants={"c": np.array([True, False, True, False, True]), "o": weights(3, 1)})
for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
    case(op, inputs=("x", "c"), constants={"c": scalar(0.1)})
# Activations with parameters.
case("LeakyRelu", attributes={"alpha": 0.3}, label="alpha")
case("PRelu", inputs=("x", "s"), constants={"s": weights(3, 1)})
case("PRelu", inputs=("x", "s"), constants={"s": weights(3, 1)}, opset=7)
case("Elu", attributes={"alpha": 0.3}, label="alpha")
case("Celu", attributes={"alpha": 0.3}, label="alpha")
case("Selu", attributes={"alpha": 0.3, "gamma": 2.0}, label="alpha")
case("ThresholdedRelu", attributes={"alpha": 0.3}, label="alpha")
case("HardSigmoid", attributes={"alpha": 0.6, "beta": 0.3}, label="alpha")
case("Shrink", attributes={"lambd": 0.3, "bias": 0.1}, label="lambd")
case("Gelu", opset=20)
case("Gelu", opset=20, attributes={"approximate": "tanh"}, label="tanh")
case("Mish", opset=18)
case("Clip", attributes={"min": -0.3, "max": 0.4}, opset=7)
case("Clip", inputs=("x", "lo", "hi"), constants={"lo": scalar(-0.3), "hi": scalar(0.4)})
case("Clip", inputs=("x", "", "hi"), constants={"hi": scalar(0.4)}, label="max")
case("Clip", label="open")
for op in ("Softmax", "LogSoftmax"):
    case(op, shape=(2, 3, 4), opset=11, label="flattened")
    case(op, shape=(2, 3, 4), opset=11, attributes={"axis": 2}, label="last")
    case(op, shape=(2, 3, 4), attributes={"axis": 1})
case("ArgMax", shape=(2, 5), attributes={"axis": 1})
case("ArgMin", shape=(2, 5), attributes={"axis": 1, "keepdims": 0})
TIES = (node("Round", ["x"], ["a"]),)
for op in ("ArgMax", "ArgMin"):
    case(
        op, shape=(4, 9), inputs=("a",), front=TIES, attributes={"axis": 1, "select_last_index": 1}, label="last-index"
    )
# Pools.
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
# Normalizations.
STATISTICS = {"s": weights(4), "b": weights(4, seed=1), "m": weights(4, seed=2), "v": np.abs(weights(4, seed=3)) + 0.1}
for label, shape in {"image": IMAGE, "vector": (2, 4), "series": (1, 4, 5)}.items():
    for opset in (7, 9, 15):
        case(
            "BatchNormalization",
            shape=shape,
            inputs=("x", "s", "b", "m", "v"),
            constants=STATISTICS,
            opset=opset,
            attributes={"epsilon": 0.01},
            label=label,
        )
case("InstanceNormalization", shape=IMAGE, inputs=("x", "s", "b"), constants={"s": weights(4), "b": weights(4, seed=1)})
case(
    "LayerNormalization",
    shape=IMAGE,
    inputs=("x", "s", "b"),
    constants={"s": weights(7, 6), "b": weights(7, 6, seed=1)},
    attributes={"axis": 2},
)
case("LayerNormalization", shape=(1, 3, 5), inputs=("x", "s"), constants={"s": weights(5)}, label="last")
case(
    "LayerNormalization", shape=(1, 3, 5), inputs=("x", "s"), constants={"s": weights(5)}, outputs=3, label="statistics"
)
case(
    "GroupNormalization",
    shape=IMAGE,
    inputs=("x", "s", "b"),
    constants={"s": weights(4), "b": weights(4, seed=1)},
    attributes={"num_groups": 2},
    opset=21,
)
case("RMSNormalization", shape=(1, 3, 5), inputs=("x", "s"), constants={"s": weights(5)}, opset=23)
for size in (1, 3, 5):
    case("LRN", shape=IMAGE, attributes={"size": size, "alpha": 0.5, "beta": 0.6, "bias": 2.0}, label=f"size{size}")
case("LpNormalization", attributes={"axis": 1})
case("LpNormalization", attributes={"axis": 1, "p": 1}, label="p1")
case("MeanVarianceNormalization", shape=IMAGE)
# Reductions.
for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare",
           "ReduceLogSum",
           "ReduceLogSumExp", "ReduceProd"):  # fmt: skip
    case(op, shape=(2, 3, 4), attributes={"axes": [1], "keepdims": 0}, opset=11, positive=True, label="attribute")
    case(
        op,
        shape=(2, 3, 4),
        inputs=("x", "axes"),
        constants={"axes": ints(-1, 0)},
        opset=18,
        positive=True,
        label="input",
    )
    case(op, shape=(2, 3, 4), opset=18, positive=True, label="all")
case("CumSum", inputs=("x", "axis"), constants={"axis": np.array(1, dtype=np.int64)})
case(
    "CumSum",
    inputs=("x", "axis"),
    constants={"axis": np.array(-1, dtype=np.int64)},
    attributes={"reverse": 1, "exclusive": 1},
    label="reverse",
)
# Shapes.
case("Reshape", inputs=("x", "s"), constants={"s": ints(1, -1)})
case("Reshape", inputs=("x", "s"), constants={"s": ints(0, 5, 3)}, label="zero")
case("Flatten", attributes={"axis": 2})
case("Squeeze", shape=(1, 3, 1, 2), attributes={"axes": [2]}, opset=11)
case("Squeeze", shape=(1, 3, 1, 2), inputs=("x", "a"), constants={"a": ints(-2)})
case("Squeeze", shape=(1, 3, 1, 2), label="all")
case("Unsqueeze", attributes={"axes": [0, 2]}, opset=11)
case("Unsqueeze", inputs=("x", "a"), constants={"a": ints(0, -1)})
case("Transpose")
case("Transpose", attributes={"perm": [1, 0, 2]}, label="perm")
case("Dropout", opset=7)
case("Dropout")
case("Expand", shape=(1, 3, 1), inputs=("x", "s"), constants={"s": ints(2, 1, 4)})
case("Tile", inputs=("x", "r"), constants={"r": ints(2, 1, 3)})
case("Concat", inputs=("x", "c", "x"), constants={"c": weights(1, 2, 5)}, attributes={"axis": 1})
case("Split", shape=(1, 6), outputs=3, attributes={"axis": 1, "split": [1, 3, 2]}, opset=11)
case("Split", shape=(1, 6), inputs=("x", "s"), constants={"s": ints(4, 2)}, outputs=2, attributes={"axis": 1})
case("Split", shape=(1, 6), outputs=2, attributes={"axis": 1}, label="even")
case("Slice", attributes={"starts": [1, -3], "ends": [3, 1000], "axes": [1, 2]}, opset=9)
case(
    "Slice",
    inputs=("x", "s", "e", "a", "t"),
    label="steps",
    constants={"s": ints(-1, 0), "e": ints(-1000, 5), "a": ints(2, 1), "t": ints(-2, 2)},
)
case("Slice", inputs=("x", "s", "e"), constants={"s": ints(0, 1), "e": ints(1, 2)}, label="no-axes")
case("Gather", inputs=("x", "i"), constants={"i": np.array([[2, -1], [0, 0]])}, attributes={"axis": 1})
case("Gather", inputs=("x", "i"), constants={"i": np.array(1)}, attributes={"axis": 2}, label="scalar")
case("Pad", shape=(1, 2, 4, 3), attributes={"pads": [0, 0, 1, 2, 0, 0, 2, 1], "value": 0.5}, opset=7)
for mode in ("constant", "edge", "reflect", "wrap"):
    case(
        "Pad",
        shape=(1, 2, 4, 3),
        inputs=("x", "p"),
        constants={"p": ints(0, 0, 1, 2, 0, 1 if mode != "reflect" else 0, 2, 1)},
        attributes={"mode": mode},
        opset=19,
        label=mode,
    )
case(
    "Pad",
    shape=(1, 2, 4, 3),
    inputs=("x", "p", "v", "a"),
    constants={"p": ints(-1, 2), "v": scalar(3.0), "a": ints(-2)},
    opset=18,
    label="axes-crop",
)
case("DepthToSpace", shape=(1, 8, 2, 3), attributes={"blocksize": 2})
case("DepthToSpace", shape=(1, 8, 2, 3), attributes={"blocksize": 2, "mode": "CRD"}, label="CRD")
case("SpaceToDepth", shape=(1, 2, 4, 6), attributes={"blocksize": 2})
case("Trilu", shape=(1, 4, 5), inputs=("x", "k"), constants={"k": np.array(1, dtype=np.int64)})
case("Trilu", shape=(1, 4, 5), attributes={"upper": 0}, label="lower")
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
# Resizing and quantization.
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
case("Swish", attributes={"alpha": 1.5}, opset=24)
