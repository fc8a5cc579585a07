"""Values that do not depend on the sample, computed once by ONNX's own reference implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto
from onnx.reference import ReferenceEvaluator

MAX_BYTES = 640 * 2**20
"""Bytes of all constants that a file may have computed: those of VGG-19's weights and a little more."""
_MAX_ELEMENTS = 2**27
_COUNTING = frozenset(
    {"Add", "And", "Cast", "Div", "Equal", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min",
     "Mul", "Neg", "Not", "Or", "Sub", "Where"}
)  # fmt: skip
"""What a loop may do with numbers: these never make more of them."""
_WINDOWS = frozenset({"dilations", "kernel_shape", "output_padding", "output_shape", "pads", "strides"})
_LONGEST_WINDOW = 2**20
"""The reference implementation lists the positions in a window."""
_LONGEST_EMPTY = 2**20
"""An array without elements takes no memory, however long its axes are, but a list of its rows does."""
_MAX_TRIPS = 2**12
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)


def is_random(node: NodeProto) -> bool:
    """Whether the node draws random numbers, so that it is no constant even without inputs."""
    return node.op_type in _RANDOM


class Memory:
    """Constants folded so far, so that a second walk through the nodes neither computes nor holds them again."""

    def __init__(self) -> None:
        self._bytes = 0
        self._found: dict[tuple[int, str, tuple[int, ...]], tuple[list[np.ndarray], tuple[np.ndarray, ...]]] = {}

    def reserve(self, sizes: Iterable[int]) -> None:
        """Make sure that values of so many bytes may be added.

        Raises:
            ValueError: they may not.
        """
        size = sum(sizes)
        if self._bytes + size > MAX_BYTES:
            raise ValueError(
                f"it makes {_mebibytes(size)} of numbers where {_mebibytes(MAX_BYTES - self._bytes)} are left of the "
                f"{_mebibytes(MAX_BYTES)} that all constants computed in a file may take"
            )

    def recall(self, index: int, name: str, operands: list[np.ndarray]) -> tuple[np.ndarray, ...] | None:
        """The outputs of a node for these very operands, if they have been kept."""
        kept = self._found.get((index, name, tuple(map(id, operands))))
        return None if kept is None else kept[1]

    def keep(self, index: int, name: str, operands: list[np.ndarray], values: tuple[np.ndarray, ...]) -> None:
        """Keep the outputs of a node; views of an operand take no memory of their own.

        Raises:
            ValueError: together with the others they take too much.
        """
        own = [value for value in values if not any(np.may_share_memory(value, operand) for operand in operands)]
        self.reserve(value.nbytes for value in own)
        self._bytes += sum(value.nbytes for value in own)
        # The operands are kept too, because another array may get the id of one that is gone.
        self._found[index, name, tuple(map(id, operands))] = (operands, values)


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _check_loop(node: NodeProto, constants: Mapping[str, np.ndarray]) -> None:
    """Refuse what may run very long or make very much: all control flow but counting with single numbers.

    Raises:
        ValueError: the node is refused.
    """
    bodies = [attribute.g for attribute in node.attribute if attribute.type == AttributeProto.GRAPH]
    if not bodies:
        return
    trips = constants.get(node.input[0]) if node.op_type == "Loop" and node.input else None
    counts = trips is not None and trips.size == 1 and trips.dtype.kind == "i" and int(trips.flat[0]) <= _MAX_TRIPS
    nodes = [inner for body in bodies for inner in body.node]
    read = {name for inner in nodes for name in inner.input} | set(node.input)
    own = [tensor for body in bodies for tensor in body.initializer]
    small = all(constants[name].size <= 1 for name in read if name in constants) and all(
        all(length == 1 for length in tensor.dims) for tensor in own
    )
    if not (counts and small and all(inner.op_type in _COUNTING for inner in nodes)):
        raise ValueError(
            f"control flow is only followed where it counts with single numbers, at most {_MAX_TRIPS} times"
        )


def evaluate(node: NodeProto, operands: Mapping[str, np.ndarray], opsets: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    """The outputs of one node for known inputs.

    Args:
        node: the node.
        operands: at least the values it reads.
        opsets: versions of the operator sets, by domain.

    Raises:
        ValueError: the node cannot be computed for these inputs, or would make an absurdly large value.
    """
    _check_loop(node, operands)
    for attribute in node.attribute:
        if attribute.name in _WINDOWS and any(abs(length) > _LONGEST_WINDOW for length in attribute.ints):
            raise ValueError(f"its {attribute.name} {list(attribute.ints)} go beyond {_LONGEST_WINDOW}")
    empty = [operands[name] for name in node.input if name in operands and not operands[name].size]
    longest = max((length for array in empty for length in array.shape), default=0)
    if longest > _LONGEST_EMPTY:
        raise ValueError(f"an operand has no elements, but an axis of length {longest}")
    size = _announced_size(node, operands)
    if size > _MAX_ELEMENTS:
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
