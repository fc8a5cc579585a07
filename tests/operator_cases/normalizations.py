"""Normalizations and reductions."""

import numpy as np
from models import weights

from operator_cases.case import IMAGE, Cases, ints

CASES = Cases()
case = CASES.add

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
