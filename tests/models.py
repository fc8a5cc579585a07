"""Builders of tiny ONNX files, shared by all tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = 17
SEED = 7


def weights(*shape: int, seed: int = SEED) -> np.ndarray:
    """Standard normal float32 numbers, the same for the same shape and seed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def model(
    nodes: Sequence[NodeProto],
    shape: Sequence[int | str],
    initializers: Mapping[str, np.ndarray] | None = None,
    *,
    source: str = "x",
    outputs: Sequence[str] = ("y",),
    output_type: int = TensorProto.FLOAT,
    opset: int = OPSET,
    ir_version: int = 8,
    metadata: Mapping[str, str] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
) -> ModelProto:
    """A model with one input, whose outputs have undeclared shapes."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, output_type, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (initializers or {}).items()],
    )
    imports = [
        helper.make_opsetid("", opset),
        *{f.domain: helper.make_opsetid(f.domain, 1) for f in functions}.values(),
    ]
    made = helper.make_model(
        graph, opset_imports=imports, ir_version=ir_version, producer_name="tests", functions=list(functions)
    )
    for key, value in (metadata or {}).items():
        made.metadata_props.add(key=key, value=value)
    return made


def write(made: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    """Save a model and return its path."""
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def node(op: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> NodeProto:
    """A node named like nothing, as many exporters leave it."""
    return helper.make_node(op, inputs, outputs, **attributes)


def mlp(sizes: Sequence[int] = (6, 5, 4, 3), *, opset: int = OPSET) -> ModelProto:
    """Gemm, ReLU, Gemm, ..., Gemm with a dynamic batch."""
    nodes, arrays, value = [], {}, "x"
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        last = layer == len(sizes) - 2
        arrays[f"W{layer}"], arrays[f"b{layer}"] = weights(fan_out, fan_in), weights(fan_out)
        out = "y" if last else f"z{layer}"
        nodes.append(helper.make_node("Gemm", [value, f"W{layer}", f"b{layer}"], [out], f"dense{layer}", transB=1))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"h{layer}"], f"relu{layer}"))
            value = f"h{layer}"
    return model(nodes, ("N", sizes[0]), arrays, opset=opset)


def one_relu(shape: Sequence[int]) -> ModelProto:
    """Flatten, Gemm, ReLU, Gemm: 20 hidden units, 4 classes. Two-stage moments of it are exact.

    Args:
        shape: of one input, the batch axis of 1 first.
    """
    n = math.prod(shape)
    nodes = [
        node("Flatten", ["x"], ["u"]),
        node("Gemm", ["u", "A", "a"], ["z"]),
        node("Relu", ["z"], ["h"]),
        node("Gemm", ["h", "B", "b"], ["y"]),
    ]
    arrays = {"A": weights(n, 20) / 2, "a": weights(20) / 4, "B": weights(20, 4) / 4, "b": weights(4)}
    return model(nodes, shape, arrays)


def small_lenet(normalization: Sequence[NodeProto] = (), arrays: Mapping[str, np.ndarray] | None = None) -> ModelProto:
    """Conv, [normalization of 'c' to 'n'], MaxPool, Flatten, Gemm, ReLU, Gemm on 1x8x8 images with 3 classes.

    Args:
        normalization: nodes that read value ``c`` of shape (N, 4, 6, 6) and write ``n``; none leaves them out.
        arrays: their weights.
    """
    nodes = [
        helper.make_node("Conv", ["x", "K", "k"], ["c"], "conv", kernel_shape=[3, 3]),
        *normalization,
        helper.make_node(
            "MaxPool", ["n" if normalization else "c"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]
        ),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "W0", "b0"], ["z"], "hidden", transB=1),
        helper.make_node("Relu", ["z"], ["h"], "relu"),
        helper.make_node("Gemm", ["h", "W1", "b1"], ["y"], "classify", transB=1),
    ]
    own = {
        "K": weights(4, 1, 3, 3), "k": weights(4), "W0": weights(7, 36), "b0": weights(7), "W1": weights(3, 7),
        "b1": weights(3),
    }  # fmt: skip
    return model(nodes, ("N", 1, 8, 8), {**own, **(arrays or {})})


def residual() -> ModelProto:
    """Gemm, ReLU r0, a skip path around ReLU r1, Add, ReLU r2, Gemm."""
    nodes = [
        helper.make_node("Gemm", ["x", "W0"], ["z0"], "g0"),
        helper.make_node("Relu", ["z0"], ["h0"], "r0"),
        helper.make_node("Gemm", ["h0", "W1"], ["z1"], "g1"),
        helper.make_node("Relu", ["z1"], ["h1"], "r1"),
        helper.make_node("Add", ["h0", "h1"], ["s"], "add"),
        helper.make_node("Relu", ["s"], ["h2"], "r2"),
        helper.make_node("Gemm", ["h2", "W2"], ["y"], "g2"),
    ]
    return model(nodes, ("N", 4), {"W0": weights(4, 5), "W1": weights(5, 5), "W2": weights(5, 3)})
