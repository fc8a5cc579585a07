"""Healthy models for the fuzzer to damage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from models import mlp, model, node, residual, small_lenet, weights
from onnx import ModelProto, TensorProto, helper
from operator_cases import CASES

_MOST_BYTES = 2**21


@dataclass(frozen=True)
class SeedModel:
    """A model's bytes under a name that says where it comes from."""

    name: str
    data: bytes


def tiny_models() -> list[SeedModel]:
    """Networks of a few nodes that between them reach every pass of the loader."""
    made = {
        "mlp": mlp(),
        "small_lenet": small_lenet(),
        "residual": residual(),
        "branches": _branches(),
        "function": _function(),
        "shape_arithmetic": _shape_arithmetic(),
        "layers": _layers(),
        "made_weights": _made_weights(),
        "half": _half_precision(),
    }
    return [SeedModel(f"tiny:{name}", built.SerializeToString()) for name, built in made.items()]


def operator_models() -> list[SeedModel]:
    """One node each, for every row of the operator table."""
    return [SeedModel(f"operator:{case}", case.onnx_model().SerializeToString()) for case in CASES]


def files(folder: Path) -> list[SeedModel]:
    """The model files of a folder and of those inside it, in order; none if there is no such folder."""
    paths = [path for path in sorted(folder.rglob("*.onnx")) if path.stat().st_size <= _MOST_BYTES]
    return [SeedModel(f"{folder.name}:{path.stem}", path.read_bytes()) for path in paths]


def corpus(folders: Sequence[Path]) -> list[SeedModel]:
    """All of them, the tiny networks several times so that they make up about half."""
    found = [seed for folder in folders for seed in files(folder)]
    cases, tiny = operator_models(), tiny_models()
    times = max(1, (len(found) + len(cases)) // len(tiny))
    return found + cases + tiny * times


def _branches() -> ModelProto:
    """An If whose condition is the rank of its input, compared; the branch not taken would not fit."""
    taken = helper.make_graph(
        [node("Gemm", ["z", "W1"], ["t"])], "then", [], [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)]
    )
    other = helper.make_graph(
        [node("Squeeze", ["z"], ["e"])], "else", [], [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)]
    )
    nodes = [
        node("Gemm", ["x", "W0"], ["a"]),
        node("Relu", ["a"], ["z"]),
        node("Shape", ["z"], ["s"]),
        node("Size", ["s"], ["r"]),
        node("Equal", ["r", "two"], ["c"]),
        node("If", ["c"], ["y"], then_branch=taken, else_branch=other),
    ]
    return model(nodes, ("N", 4), {"W0": weights(4, 5), "W1": weights(5, 3), "two": np.array(2, dtype=np.int64)})


def _function() -> ModelProto:
    """Two calls of a local function that is a dense layer."""
    dense = helper.make_function(
        "local",
        "Dense",
        ["v", "w"],
        ["o"],
        [node("MatMul", ["v", "w"], ["m"]), node("Relu", ["m"], ["o"])],
        [helper.make_opsetid("", 17)],
    )
    nodes = [
        node("Dense", ["x", "W0"], ["a"], domain="local"),
        node("Dense", ["a", "W1"], ["b"], domain="local"),
        node("MatMul", ["b", "W2"], ["y"]),
    ]
    arrays = {"W0": weights(4, 5), "W1": weights(5, 5), "W2": weights(5, 3)}
    return model(nodes, ("N", 4), arrays, functions=[dense])


def _shape_arithmetic() -> ModelProto:
    """A Flatten written as Shape, Gather, Concat and Reshape, as torch's exporter does."""
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["h"]),
        node("Shape", ["h"], ["s"]),
        node("Gather", ["s", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n", "axes"], ["u"]),
        node("Concat", ["u", "rest"], ["t"], axis=0),
        node("Reshape", ["h", "t"], ["f"]),
        node("Gemm", ["f", "W", "b"], ["y"], transB=1),
    ]
    arrays = {
        "K": weights(3, 2, 3, 3),
        "zero": np.array(0, dtype=np.int64),
        "axes": np.array([0], dtype=np.int64),
        "rest": np.array([-1], dtype=np.int64),
        "W": weights(4, 75),
        "b": weights(4),
    }
    return model(nodes, ("N", 2, 5, 5), arrays)


def _layers() -> ModelProto:
    """Normalizations, poolings, paddings and slices between two dense layers."""
    nodes = [
        node("Pad", ["x", "pads"], ["p"]),
        node("Conv", ["p", "K"], ["c"], kernel_shape=[3, 3], strides=[1, 1]),
        node("BatchNormalization", ["c", "g", "o", "m", "v"], ["n"]),
        node("LRN", ["n"], ["l"], size=3, alpha=0.1, beta=0.75, bias=1.0),
        node("LeakyRelu", ["l"], ["r"], alpha=0.1),
        node("MaxPool", ["r"], ["q"], kernel_shape=[2, 2], strides=[2, 2]),
        node("AveragePool", ["q"], ["a"], kernel_shape=[2, 2], strides=[1, 1], pads=[1, 0, 0, 1]),
        node("Resize", ["a", "", "scales"], ["z"], mode="nearest"),
        node("Slice", ["z", "starts", "ends", "sliced"], ["k"]),
        node("Transpose", ["k"], ["t"], perm=[0, 2, 3, 1]),
        node("Flatten", ["t"], ["f"]),
        node("Gemm", ["f", "W0"], ["d"], transB=1),
        node("Clip", ["d", "low", "high"], ["h"]),
        node("Gemm", ["h", "W1"], ["e"], transB=1),
        node("Softmax", ["e"], ["y"], axis=1),
    ]
    arrays = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], dtype=np.int64),
        "K": weights(4, 1, 3, 3),
        "g": weights(4),
        "o": weights(4),
        "m": weights(4),
        "v": np.abs(weights(4)),
        "scales": np.array([1, 1, 2, 2], dtype=np.float32),
        "starts": np.array([1, 1], dtype=np.int64),
        "ends": np.array([5, 5], dtype=np.int64),
        "sliced": np.array([2, 3], dtype=np.int64),
        "W0": weights(6, 64),
        "low": np.array(0, dtype=np.float32),
        "high": np.array(6, dtype=np.float32),
        "W1": weights(3, 6),
    }
    return model(nodes, ("N", 1, 6, 6), arrays)


def _made_weights() -> ModelProto:
    """Weights that are computed in the file: ConstantOfShape, Range, Tile, Expand, Concat and Split."""
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.5])
    nodes = [
        node("Constant", [], ["shape"], value_ints=[4, 6]),
        node("ConstantOfShape", ["shape"], ["w"], value=value),
        node("Range", ["from", "to", "step"], ["r"]),
        node("Unsqueeze", ["r", "axis"], ["row"]),
        node("Expand", ["row", "shape"], ["grid"]),
        node("Mul", ["w", "grid"], ["W0"]),
        node("MatMul", ["x", "W0"], ["a"]),
        node("Relu", ["a"], ["h"]),
        node("Tile", ["row", "repeats"], ["tiled"]),
        node("Transpose", ["tiled"], ["W1"], perm=[1, 0]),
        node("MatMul", ["h", "W1"], ["b"]),
        node("Split", ["b", "parts"], ["p0", "p1"], axis=1),
        node("Concat", ["p1", "p0"], ["y"], axis=1),
    ]
    arrays = {
        "from": np.array(0, dtype=np.float32),
        "to": np.array(6, dtype=np.float32),
        "step": np.array(1, dtype=np.float32),
        "axis": np.array([0], dtype=np.int64),
        "repeats": np.array([3, 1], dtype=np.int64),
        "parts": np.array([1, 2], dtype=np.int64),
    }
    return model(nodes, ("N", 4), arrays)


def _half_precision() -> ModelProto:
    """float16 weights behind a Cast."""
    nodes = [
        node("Cast", ["x"], ["a"], to=TensorProto.FLOAT16),
        node("MatMul", ["a", "W0"], ["b"]),
        node("Relu", ["b"], ["h"]),
        node("MatMul", ["h", "W1"], ["c"]),
        node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    return model(nodes, (1, 4), {"W0": weights(4, 5).astype(np.float16), "W1": weights(5, 3).astype(np.float16)})
