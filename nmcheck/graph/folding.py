"""Values that do not depend on the sample, computed once by ONNX's own reference implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import numpy as np
import onnx
from onnx import NodeProto, TensorProto
from onnx.reference import ReferenceEvaluator

MAX_ELEMENTS = 2**27
"""Elements of the largest constant nmcheck will fold: 512 MiB of float32."""
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)


def is_random(node: NodeProto) -> bool:
    """Whether the node draws random numbers, so that it is no constant even without inputs."""
    return node.op_type in _RANDOM


def evaluate(node: NodeProto, operands: Mapping[str, np.ndarray], opsets: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    """The outputs of one node for known inputs.

    Args:
        node: the node.
        operands: at least the values it reads.
        opsets: versions of the operator sets, by domain.

    Raises:
        ValueError: the node cannot be computed for these inputs, or would make an absurdly large value.
    """
    size = _announced_size(node, operands)
    if size > MAX_ELEMENTS:
        raise ValueError(f"it makes a constant of {size:.3g} elements")
    inputs = [name for name in dict.fromkeys(node.input) if name]
    graph = onnx.helper.make_graph(
        [node],
        "one_node",
        [onnx.helper.make_tensor_value_info(name, _type(operands[name]), None) for name in inputs],
        [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    try:
        evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports))
        with np.errstate(all="ignore"):
            results = evaluator.run(None, {name: operands[name] for name in inputs})
    except Exception as error:
        text = str(error).strip().splitlines()
        raise ValueError(text[0].rstrip(".") if text else type(error).__name__) from error
    if not isinstance(results, list) or not all(isinstance(value, np.ndarray | np.generic) for value in results):
        raise ValueError("its outputs are not tensors")
    return tuple(np.asarray(value) for value in results)


def _type(array: np.ndarray) -> int:
    return TensorProto.STRING if array.dtype.kind in "OUS" else onnx.helper.np_dtype_to_tensor_dtype(array.dtype)


def _announced_size(node: NodeProto, operands: Mapping[str, np.ndarray]) -> float:
    """Elements of the output of the operators whose output can be far larger than their inputs; 0 for others."""
    values = [operands[name] for name in node.input if name]
    if node.op_type == "ConstantOfShape":
        return _product(values[0].flat)
    if node.op_type == "Expand":
        target, shape = values[1].tolist(), list(values[0].shape)
        rank = max(len(target), len(shape))
        pairs = zip([1] * (rank - len(target)) + target, [1] * (rank - len(shape)) + shape, strict=True)
        return _product(max(pair) for pair in pairs)
    if node.op_type == "Tile":
        return values[0].size * _product(values[1].flat)
    if node.op_type == "Range" and values[2].item():
        return float((float(values[1].item()) - float(values[0].item())) / float(values[2].item()))
    if node.op_type == "Pad" and len(values) > 1 and values[1].dtype.kind == "i":
        return values[0].size * _product(1 + abs(int(pad)) for pad in values[1].flat)
    return 0.0


def _product(factors: Iterable[float]) -> float:
    return prod(float(factor) for factor in factors)
