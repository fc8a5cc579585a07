"""The nine classic ImageNet classifiers inside the onnx package, given random weights.

Their own weights are filled with single numbers, so that all classes score alike and hardly anything could go wrong
unnoticed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
CUTS = {
    "bvlc_alexnet": (7, 0),
    "densenet121": (5, 116),
    "inception_v1": (3, 54),
    "inception_v2": (3, 66),
    "resnet50": (17, 32),
    "shufflenet": (17, 16),
    "squeezenet": (10, 16),
    "vgg19": (18, 0),
    "zfnet512": (7, 0),
}
"""ReLUs that all paths cross, and others, by name."""

_STATISTICS = {1: "scale", 2: "shift", 3: "shift", 4: "variance"}
"""What the operands of a BatchNormalization are, by position."""
_SUMMANDS = {"Add": "shift", "Sum": "shift", "Mul": "scale"}


def with_random_weights(name: str, seed: int = 0) -> ModelProto:
    """A light model with initializers in place of the fills: He's for matrices and kernels, moderate others.

    The softmax at its end is left out: of random logits it would make ones and zeros.

    Args:
        name: a key of ``CUTS``.
        seed: of the weights.
    """
    model = onnx.load(FOLDER / f"light_{name}.onnx")
    graph, generator = model.graph, np.random.default_rng(seed)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    fills = {node.output[0]: node for node in graph.node if node.op_type == "ConstantOfShape"}
    roles = _roles(model)
    for value, role in roles.items():
        if value in fills:
            shape = tuple(numpy_helper.to_array(stored[fills[value].input[0]]))
        elif value in stored and stored[value].data_type == TensorProto.FLOAT:
            shape = tuple(stored[value].dims)
            graph.initializer.remove(stored[value])
        else:
            continue
        array = _drawn(generator, role, shape)
        graph.initializer.append(numpy_helper.from_array(array, value))
    kept = [node for node in graph.node if node.output[0] not in fills or node.output[0] not in roles]
    if kept[-1].op_type == "Softmax":
        graph.output[0].name = kept.pop().input[0]
        graph.output[0].type.tensor_type.ClearField("shape")
    del graph.node[:]
    graph.node.extend(kept)
    return model


def _roles(model: ModelProto) -> dict[str, str]:
    """What each constant is for, by the operator that reads it, be it behind an Unsqueeze or a Reshape."""
    roles: dict[str, str] = {}
    for node in reversed(model.graph.node):
        for position, value in enumerate(node.input):
            if node.op_type in ("Conv", "Gemm") and position:
                roles[value] = {"Conv": "kernel", "Gemm": "matrix"}[node.op_type] if position == 1 else "shift"
            elif node.op_type == "BatchNormalization" and position:
                roles[value] = _STATISTICS[position]
            elif node.op_type in _SUMMANDS and position:
                roles[value] = _SUMMANDS[node.op_type]
            elif node.op_type in ("Unsqueeze", "Reshape") and not position and node.output[0] in roles:
                roles[value] = roles[node.output[0]]
    return roles


def _drawn(generator: np.random.Generator, role: str, shape: tuple[int, ...]) -> np.ndarray:
    if role in ("kernel", "matrix"):
        fan_in = np.prod(shape[1:]) if role == "kernel" else shape[-1]
        return generator.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / fan_in))
    if role == "shift":
        return generator.normal(0, 0.1, shape).astype(np.float32)
    return generator.uniform(0.5, 1.5, shape).astype(np.float32)
