"""Arithmetic and activations."""

import numpy as np
from models import node, weights

from operator_cases.case import Cases, ints, scalar

CASES = Cases()
case = CASES.add

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
# With parameters.
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
# Not of ArgMax: where it is the head, as here, the last of ties is refused (docs/maths.md, Ties).
case(
    "ArgMin",
    shape=(4, 9),
    inputs=("a",),
    front=TIES,
    attributes={"axis": 1, "select_last_index": 1},
    label="last-index",
)
case("Swish", attributes={"alpha": 1.5}, opset=24)
