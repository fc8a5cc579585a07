"""Random small classifiers of every operator that moments support, with unusual attributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime
from models import model, node
from onnx import ModelProto, NodeProto

OPSET = 21
CLASSES = 3
Array = np.ndarray


@dataclass
class Drawing:
    """A network as it grows.

    Attributes:
        generator: every choice comes from it.
        shape: of the input, with the batch axis.
        nodes: so far.
        arrays: constants so far.
        value: name of the last value.
        shapes: of every value.
        operators: those drawn.
    """

    generator: np.random.Generator
    shape: tuple[int, ...]
    nodes: list[NodeProto] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    value: str = "x"
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    operators: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shapes["x"] = self.shape

    @property
    def now(self) -> tuple[int, ...]:
        return self.shapes[self.value]

    @property
    def is_image(self) -> bool:
        return len(self.now) == 4

    def choice(self, *options: Any) -> Any:
        return options[int(self.generator.integers(len(options)))]

    def number(self, low: float, high: float) -> float:
        return float(np.float32(self.generator.uniform(low, high)))

    def weights(self, *shape: int, scale: float = 1.0) -> Array:
        return (scale * self.generator.standard_normal(shape)).astype(np.float32)

    def constant(self, array: Array | np.generic) -> str:
        name = f"c{len(self.arrays)}"
        self.arrays[name] = np.asarray(array)
        return name

    def add(self, op: str, *others: str, first: bool = False, **attributes: Any) -> None:
        """One more node on the last value, with constants or earlier values beside it."""
        inputs = [*others, self.value] if first else [self.value, *others]
        name = f"v{len(self.nodes)}"
        made = node(op, inputs, [name], **attributes)
        shape = self._shape_of(made, name)
        self.nodes.append(made)
        self.shapes[name], self.value = shape, name
        self.operators.append(op)

    def _shape_of(self, made: NodeProto, name: str) -> tuple[int, ...]:
        """By onnxruntime, which also refuses what it cannot run."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        proto = model([*self.nodes, made], self.shape, self.arrays, opset=OPSET, ir_version=10, outputs=(name,))
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"x": self.generator.random(self.shape, dtype=np.float32)})
        found = np.asarray(found)
        if session.get_outputs()[0].shape != list(found.shape):
            # Before operator set 22 onnxruntime declares windows of ceil_mode that it then leaves out, and refuses what
            # is behind them.
            raise ValueError(f"{made.op_type} is declared with another shape than it has")
        if not np.isfinite(found).all() or found.size > 600 or found.size < 1:
            raise ValueError(f"{made.op_type} leads out of what is wanted")
        return found.shape

    def positive(self) -> None:
        """Something that is 1 and more, whatever comes in."""
        self.add("Softplus")
        self.add("Add", self.constant(np.array([1.0], np.float32)))

    def between(self) -> None:
        """Something within (-0.9, 0.9)."""
        self.add("Tanh")
        self.add("Mul", self.constant(np.array([0.9], np.float32)))


Block = Callable[[Drawing], None]


def _elementwise(op: str, **ranges: tuple[float, float]) -> Block:
    def block(d: Drawing) -> None:
        attributes: dict[str, Any] = {key: d.number(*limits) for key, limits in ranges.items()}
        d.add(op, **attributes)

    return block


def _clip(d: Drawing) -> None:
    low, high = d.choice((-0.5, 0.7), (-0.3, None), (None, 0.4), (0.1, 0.1), (-2.0, 6.0))
    others = ["" if end is None else d.constant(np.float32(end)) for end in (low, high)]
    d.add("Clip", *others)


def _shrink(d: Drawing) -> None:
    lambd = d.number(0.05, 0.5)
    d.add("Shrink", lambd=lambd, bias=lambd)


def _prelu(d: Drawing) -> None:
    channels = d.now[1]
    shape = (channels, 1, 1) if d.is_image else (channels,)
    d.add("PRelu", d.constant(d.weights(*shape)))


def _after(prepare: Callable[[Drawing], None], op: str) -> Block:
    def block(d: Drawing) -> None:
        prepare(d)
        d.add(op)

    return block


def _power(d: Drawing) -> None:
    if d.choice(True, False):
        d.add("Pow", d.constant(np.float32(d.choice(2, 3))))
        d.add("Mul", d.constant(np.array([0.2], np.float32)))
    else:
        d.positive()
        d.add("Pow", d.constant(np.float32(d.choice(0.5, -1.0, 1.5))))


def _exp(d: Drawing) -> None:
    d.add("Mul", d.constant(np.array([0.3], np.float32)))
    d.add(d.choice("Exp", "Sinh", "Cosh"))


def _arithmetic(d: Drawing) -> None:
    op = d.choice("Add", "Sub", "Mul", "Div", "Sum", "Mean", "Max", "Min")
    other = d.weights(*d.now[1:])
    if op == "Div":
        other = np.sign(other) * (np.abs(other) + np.float32(0.5))
    d.add(op, d.constant(other), first=op == "Sub" and d.choice(True, False))


def _two_branches(d: Drawing) -> None:
    """The last value and what a few layers make of it, brought together again."""
    start = d.value
    _same_shape(d)
    if d.now != d.shapes[start]:
        return
    op = d.choice("Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum", "Concat", "Div", "Where")
    if op == "Concat":
        d.add("Concat", start, axis=1)
    elif op == "Div":
        d.positive()
        d.add("Div", start, first=True)
    elif op == "Where":
        chosen = d.generator.random(d.now[1:]) < 0.5
        name = d.constant(chosen)
        inputs, out = [name, d.value, start], f"v{len(d.nodes)}"
        made = node("Where", inputs, [out])
        shape = d._shape_of(made, out)
        d.nodes.append(made)
        d.shapes[out], d.value = shape, out
        d.operators.append("Where")
    else:
        d.add(op, start)


def _same_shape(d: Drawing) -> None:
    if d.is_image:
        channels = d.now[1]
        kernel = d.weights(channels, channels, 3, 3, scale=0.5 / channels**0.5)
        d.add("Conv", d.constant(kernel), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    elif len(d.now) == 2:
        size = d.now[1]
        d.add("MatMul", d.constant(d.weights(size, size, scale=size**-0.5)))
    d.add(d.choice("Relu", "Sigmoid", "LeakyRelu", "Tanh"))


def _gemm(d: Drawing) -> None:
    if len(d.now) != 2:
        d.add("Flatten", axis=1)
    size, units = d.now[1], int(d.generator.integers(3, 13))
    turned = d.choice(0, 1)
    weight = d.weights(*((units, size) if turned else (size, units)), scale=size**-0.5)
    bias = [d.constant(d.weights(units))] if d.choice(True, False) else []
    d.add("Gemm", d.constant(weight), *bias, transB=turned, alpha=d.number(0.5, 2.0), beta=d.number(-1.0, 1.0))


def _conv(d: Drawing) -> None:
    channels, out = d.now[1], int(d.generator.integers(1, 4))
    group = channels if d.choice(True, False) else 1
    out *= group
    height, width = d.choice((3, 3), (2, 3), (1, 1), (3, 1))
    kernel = d.weights(out, channels // group, height, width, scale=(channels / group * height * width) ** -0.5)
    place = d.choice(
        {"pads": [0, 1, 1, 0]}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}, {"pads": [2, 2, 2, 2]}, {}
    )
    dilation = d.choice([1, 1], [2, 1], [1, 2]) if "pads" in place else [1, 1]
    bias = [d.constant(d.weights(out))] if d.choice(True, False) else []
    d.add(
        "Conv", d.constant(kernel), *bias, kernel_shape=[height, width], group=group,
        strides=d.choice([1, 1], [2, 1], [2, 2]), dilations=dilation, **place,
    )  # fmt: skip


def _conv_transpose(d: Drawing) -> None:
    channels, out = d.now[1], int(d.generator.integers(1, 3))
    kernel = d.weights(channels, out, 2, 3, scale=(channels * 3) ** -0.5)
    d.add(
        "ConvTranspose", d.constant(kernel), kernel_shape=[2, 3], strides=d.choice([1, 1], [2, 1]),
        pads=d.choice([0, 0, 0, 0], [1, 0, 0, 1]), output_padding=[0, 0],
    )  # fmt: skip


def _pool(d: Drawing) -> None:
    op = d.choice("MaxPool", "MaxPool", "AveragePool", "LpPool")
    attributes: dict[str, Any] = {
        "kernel_shape": d.choice([2, 2], [3, 3], [1, 2], [3, 2]), "strides": d.choice([1, 1], [2, 2], [2, 1], [3, 3])
    }  # fmt: skip
    where = d.choice({"pads": [1, 1, 1, 1]}, {"pads": [0, 0, 1, 1]}, {"auto_pad": "SAME_UPPER"}, {})
    if attributes["kernel_shape"][0] == 1 and "pads" in where:
        where = {}
    attributes |= where
    if op != "LpPool":
        attributes["ceil_mode"] = d.choice(0, 1)
    if op == "AveragePool":
        attributes["count_include_pad"] = d.choice(0, 1)
    if op == "MaxPool" and "auto_pad" not in where:
        attributes["dilations"] = d.choice([1, 1], [2, 2], [1, 2])
    if op == "LpPool":
        attributes["p"] = d.choice(1, 2)
        d.positive()
    d.add(op, **attributes)


def _global_pool(d: Drawing) -> None:
    op = d.choice("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    if op == "GlobalLpPool":
        d.positive()
    d.add(op)


def _batch_norm(d: Drawing) -> None:
    channels = d.now[1]
    parts = [d.weights(channels), d.weights(channels), d.weights(channels), np.abs(d.weights(channels)) + 0.5]
    d.add("BatchNormalization", *(d.constant(part.astype(np.float32)) for part in parts), epsilon=1e-3)


def _lrn(d: Drawing) -> None:
    d.add("LRN", size=d.choice(1, 2, 3, 5), alpha=d.number(0.1, 2.0), beta=d.number(0.3, 1.0), bias=d.number(0.5, 2.0))


def _normalization(d: Drawing) -> None:
    if d.is_image:
        op = d.choice("InstanceNormalization", "MeanVarianceNormalization")
        if op == "InstanceNormalization":
            channels = d.now[1]
            d.add(op, d.constant(d.weights(channels)), d.constant(d.weights(channels)), epsilon=0.1)
        else:
            d.add(op, axes=[0, 2, 3])
        return
    op = d.choice("LayerNormalization", "LpNormalization", "Softmax", "LogSoftmax")
    if op == "LayerNormalization":
        d.add(op, d.constant(d.weights(d.now[-1])), axis=-1, epsilon=0.01)
    elif op == "LpNormalization":
        d.positive()
        d.add(op, axis=-1, p=d.choice(1, 2))
    else:
        d.add(op, axis=-1)


def _reduction(d: Drawing) -> None:
    op = d.choice(
        "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
        "ReduceSumSquare", "ReduceProd",
    )  # fmt: skip
    if op in ("ReduceL2", "ReduceLogSum"):
        d.positive()
    if op == "ReduceProd":
        d.between()
    d.add(op, d.constant(np.array([d.choice(2, 3, -1)], np.int64)), keepdims=1)


def _shapes(d: Drawing) -> None:
    rank = len(d.now)
    match d.choice(
        "Transpose", "Slice", "Pad", "Tile", "Split", "Squeeze", "Gather", "Identity", "Neg", "CumSum", "Expand"
    ):
        case "Transpose" if d.is_image:
            d.add("Transpose", perm=[0, 1, 3, 2])
        case "Slice" if d.now[-1] > 2:
            ends = [
                np.array([1], np.int64),
                np.array([d.now[-1]], np.int64),
                np.array([-1], np.int64),
                np.array([d.choice(1, 2)], np.int64),
            ]
            d.add("Slice", *(d.constant(end) for end in ends))
        case "Pad":
            pads = [0] * (2 * rank)
            pads[rank - 1], pads[-1] = 1, 2
            mode = d.choice("constant", "edge", "reflect") if d.now[-1] > 3 else "constant"
            d.add("Pad", d.constant(np.array(pads, np.int64)), mode=mode)
        case "Tile":
            repeats = [1] * rank
            repeats[-1] = 2
            d.add("Tile", d.constant(np.array(repeats, np.int64)))
        case "Squeeze":
            d.add("Unsqueeze", d.constant(np.array([-1], np.int64)))
            d.add("Squeeze", d.constant(np.array([-1], np.int64)))
        case "Gather" if d.now[-1] > 2:
            d.add("Gather", d.constant(np.array([0, 2, 0], np.int64)), axis=-1)
        case "CumSum":
            d.add("CumSum", d.constant(np.int64(rank - 1)), reverse=d.choice(0, 1), exclusive=d.choice(0, 1))
        case "Neg":
            d.add("Neg")
        case _:
            d.add("Identity")


def _space(d: Drawing) -> None:
    _, channels, height, width = d.now
    if channels % 4 == 0:
        d.add("DepthToSpace", blocksize=2, mode=d.choice("DCR", "CRD"))
    elif height % 2 == width % 2 == 0:
        d.add("SpaceToDepth", blocksize=2)
    else:
        scales = d.constant(np.array([1, 1, 2, 1], np.float32))
        d.add("Resize", "", scales, mode=d.choice("nearest", "linear"))


ANYWHERE: tuple[Block, ...] = (
    *(
        _elementwise(op)
        for op in ("Relu", "Abs", "Sigmoid", "Tanh", "Erf", "Softplus", "Mish", "Softsign", "HardSwish")
    ),
    *(_elementwise(op) for op in ("Sin", "Cos", "Atan", "Asinh", "Selu")),
    _elementwise("LeakyRelu", alpha=(-0.5, 1.5)),
    _elementwise("Elu", alpha=(0.2, 2.0)),
    _elementwise("Celu", alpha=(0.2, 2.0)),
    _elementwise("HardSigmoid", alpha=(0.05, 0.8), beta=(0.0, 1.0)),
    lambda d: d.add("Gelu", approximate=d.choice("none", "tanh")),
    _clip,
    _shrink,
    _prelu,
    _power,
    _exp,
    _arithmetic,
    _arithmetic,
    _two_branches,
    _two_branches,
    _shapes,
    _shapes,
    *(_after(Drawing.positive, op) for op in ("Log", "Sqrt", "Reciprocal", "Acosh")),
    *(_after(Drawing.between, op) for op in ("Acos", "Asin", "Atanh", "Tan")),
)
ON_IMAGES: tuple[Block, ...] = (
    _conv, _conv, _conv, _conv_transpose, _pool, _pool, _pool, _global_pool, _batch_norm, _lrn, _reduction, _space,
    _normalization,
)  # fmt: skip
ON_VECTORS: tuple[Block, ...] = (_gemm, _gemm, _gemm, _normalization)


def draw(seed: int) -> tuple[ModelProto, tuple[int, ...], list[str]]:
    """A network with its input's shape without the batch axis, and the operators in it."""
    generator = np.random.default_rng([11, seed])
    image = bool(generator.random() < 0.6)
    shape = (1, int(generator.integers(1, 4)), int(generator.integers(4, 9)), int(generator.integers(4, 9)))
    d = Drawing(generator, shape if image else (1, int(generator.integers(3, 14))))
    for _ in range(int(generator.integers(3, 9))):
        before = (list(d.nodes), dict(d.arrays), d.value, list(d.operators))
        own = ON_IMAGES if d.is_image else ON_VECTORS
        block = d.choice(*own) if generator.random() < 0.5 else d.choice(*ANYWHERE)
        try:
            block(d)
        except Exception:  # onnxruntime refuses, or the value has become too large: another block then
            d.nodes, d.arrays, d.value, d.operators = before
    if len(d.now) != 2:
        d.add("Flatten", axis=1)
    size = d.now[1]
    last = d.constant(d.weights(size, CLASSES, scale=size**-0.5))
    d.nodes.append(node("Gemm", [d.value, last, d.constant(d.weights(CLASSES))]))
    d.operators.append("Gemm")
    return model(d.nodes, d.shape, d.arrays, opset=OPSET, ir_version=10), d.shape[1:], d.operators
