"""Operators that move elements."""

import numpy as np
from models import weights

from operator_cases.case import Cases, ints, scalar

CASES = Cases()
case = CASES.add

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
