"""A small residual network with an Add, a Concat and a dense skip: three ReLUs on every path, four on some.

stem -> block (two convolutions, the first with a ReLU) + stem -> join -> left | right -> concat -> pool -> head
     -> head + dense(tail(dense(head))) -> classify
"""

import numpy as np
from models import model, weights
from onnx import ModelProto, helper

SHAPE = (1, 6, 6)
CUTS = ("stem", "join", "head")
SKIPS = ("inner", "left", "right", "tail")
RELUS = ("stem", "inner", "join", "left", "right", "head", "tail")
"""Names of the ReLU nodes in order."""


def residual_network() -> ModelProto:
    """Images of 1 x 6 x 6, three logits; values ``NAME.z`` and ``NAME.h`` in front of and behind each ReLU."""
    arrays: dict[str, np.ndarray] = {}
    nodes = []

    def convolution(name: str, source: str, target: str, channels: tuple[int, int], size: int) -> None:
        """Convolution and BatchNormalization."""
        fan_out, fan_in = channels
        arrays[f"{name}.W"] = weights(fan_out, fan_in, size, size, seed=len(arrays)) / np.sqrt(fan_in * size * size)
        for key, spread in (("gamma", 0.2), ("beta", 0.3), ("mean", 0.3)):
            arrays[f"{name}.{key}"] = (key == "gamma") + np.float32(spread) * weights(fan_out, seed=len(arrays))
        arrays[f"{name}.var"] = np.float32(0.5) + weights(fan_out, seed=len(arrays)) ** 2
        normalization = [f"{name}.{key}" for key in ("gamma", "beta", "mean", "var")]
        nodes.append(
            helper.make_node("Conv", [source, f"{name}.W"], [f"{name}.c"], f"{name}.conv", pads=[size // 2] * 4)
        )
        nodes.append(helper.make_node("BatchNormalization", [f"{name}.c", *normalization], [target], f"{name}.norm"))

    def dense(name: str, source: str, target: str, fan_in: int, fan_out: int) -> None:
        arrays[f"{name}.W"] = weights(fan_in, fan_out, seed=len(arrays)) / np.sqrt(fan_in)
        arrays[f"{name}.b"] = weights(fan_out, seed=len(arrays)) / 4
        nodes.append(helper.make_node("Gemm", [source, f"{name}.W", f"{name}.b"], [target], f"{name}.dense"))

    def relu(name: str) -> None:
        nodes.append(helper.make_node("Relu", [f"{name}.z"], [f"{name}.h"], name))

    convolution("stem", "x", "stem.z", (4, 1), 3)
    relu("stem")
    convolution("inner", "stem.h", "inner.z", (4, 4), 3)
    relu("inner")
    convolution("block", "inner.h", "block.out", (4, 4), 3)
    nodes.append(helper.make_node("Add", ["block.out", "stem.h"], ["join.z"], "add"))
    relu("join")
    convolution("left", "join.h", "left.z", (2, 4), 1)
    relu("left")
    convolution("right", "join.h", "right.z", (3, 4), 3)
    relu("right")
    nodes.append(helper.make_node("Concat", ["left.h", "right.h"], ["both"], "concat", axis=1))
    nodes.append(helper.make_node("MaxPool", ["both"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"))
    dense("head", "flat", "head.z", 45, 12)
    relu("head")
    dense("tail", "head.h", "tail.z", 12, 9)
    relu("tail")
    dense("back", "tail.h", "back.out", 9, 12)
    nodes.append(helper.make_node("Add", ["head.h", "back.out"], ["sum"], "dense_add"))
    dense("classify", "sum", "y", 12, 3)
    return model(nodes, ("N", *SHAPE), {name: array.astype(np.float32) for name, array in arrays.items()})
