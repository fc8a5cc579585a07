"""One pass through the nodes for one shape of the input: constants folded, shapes of all live values found.

A value is either *static*, known now (weights, shape arithmetic), or *live*, dependent on the sample. Shapes come from
ONNX's inference node by node, with every static operand at hand, and where that leaves a gap from a run of the one node
by ONNX's reference implementation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, TypeProto

from nmcheck.errors import ModelError, UnsupportedError
from nmcheck.graph.branches import Branch, taken_branch
from nmcheck.graph.definitions import definition, is_replaced
from nmcheck.graph.folding import Memory, evaluate, is_random
from nmcheck.graph.naming import NodeNames
from nmcheck.graph.reading import ONNX_DOMAINS
from nmcheck.graph.unrounded import unrounded

_SMALL = 4096
"""Elements of the largest static operand shown to shape inference: shapes, axes and sizes, never weights."""

MAX_ELEMENTS = 2**25
"""Elements of the largest value of one sample: 256 MiB in the double precision of the analysis."""

_VIEWS = ("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that copy nothing where the operand is a constant; what they do copy counts afterwards."""

_CEILED = ("AveragePool", "LpPool", "MaxPool")
_WITHOUT_EMPTY_WINDOWS = 22
"""From this operator set on, ONNX's inference leaves out windows that start in the padding behind the input, which
``ceil_mode`` would add. Exporters and onnxruntime never had them, whatever the file's operator set."""
_NO_ROOM = (
    "The file computes more numbers from its weights than are kept in double precision, so some are rounded as the "
    "file rounds them; radii are certified for these."
)

StaticOperands = dict[str, np.ndarray]
Adaptation = Callable[[NodeProto, StaticOperands], StaticOperands]
"""May give a node other static operands than the file does: (node, operands) -> operands that replace the file's."""


@dataclass(frozen=True)
class NamedNode:
    """A node of the file with its unique name and its position."""

    name: str
    index: int
    proto: NodeProto


@dataclass
class Trace:
    """What one pass found.

    Attributes:
        nodes: nodes with live outputs, in order.
        constants: static values by name.
        unrounded: those computed in less than float64, in float64.
        shapes: shapes of the live values by name.
        types: ONNX's element types of the live values by name.
        notes: what was put in the place of nodes, a sentence each.
    """

    nodes: list[NamedNode]
    constants: dict[str, np.ndarray]
    unrounded: dict[str, np.ndarray] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def keep_operands(_node: NodeProto, _operands: StaticOperands) -> StaticOperands:
    """The adaptation that changes nothing."""
    return {}


def trace(
    path: Path,
    nodes: tuple[NamedNode, ...],
    *,
    weights: Mapping[str, np.ndarray],
    source: tuple[str, int, tuple[int, ...]],
    opsets: Mapping[str, int],
    names: NodeNames,
    memory: Memory | None = None,
    adapt: Adaptation = keep_operands,
) -> Trace:
    """Walk through sorted nodes.

    Args:
        path: for messages.
        nodes: the nodes, each after those it reads from.
        weights: static values to start with.
        source: name, element type and shape of the input.
        opsets: versions of the operator sets, by domain.
        names: gives names to nodes that are put in the place of an If or of an operator defined by others.
        memory: what earlier walks through the same nodes have folded, and how much more may be.
        adapt: may replace static operands, under names of its own (``batch``).

    Raises:
        ModelError: a node does not fit its inputs.
        UnsupportedError: control flow or random numbers depend on the run.
    """
    found = Trace([], dict(weights))
    found.types[source[0]], found.shapes[source[0]] = source[1:]
    waiting, names = deque(nodes), names.copy()
    memory = memory or Memory()
    while waiting:
        node = waiting.popleft()
        live = [value for value in node.proto.input if value in found.shapes]
        if node.proto.op_type == "If" and node.proto.input[0] in found.constants:
            condition = bool(found.constants[node.proto.input[0]].all())
            branch = taken_branch(path, node.proto, condition, f"{node.name}/")
            waiting.extendleft(reversed(_in_place(branch, node, found, names)))
        elif is_random(node.proto):
            raise UnsupportedError(
                f"{path}: node '{node.name}' ({node.proto.op_type}) draws random numbers; export the model in "
                "inference mode."
            )
        elif not live:
            _fold(path, node, found, opsets, memory)
        elif node.proto.op_type in ("Shape", "Size") and node.proto.domain in ONNX_DOMAINS:
            found.constants[node.proto.output[0]] = _shape_value(node.proto, found.shapes[live[0]])
        elif node.proto.op_type == "CastLike" and live == [node.proto.input[1]]:
            _fold(path, replace(node, proto=_cast(node.proto, found.types[live[0]])), found, opsets, memory)
        elif is_replaced(node.proto):
            types = {value: _type(value, found) for value in node.proto.input if value}
            body = definition(path, node.proto, types, opsets, f"{node.name}/")
            waiting.extendleft(reversed(_in_place(body, node, found, names)))
            found.notes.append(
                f"Node '{node.name}' ({node.proto.op_type}) is replaced by the operators that ONNX defines it by."
            )
        else:
            chosen = _chosen(node.proto, found)
            same = node if chosen is None else replace(node, proto=_identity(node.proto, chosen))
            _add_live(path, same, found, opsets, adapt)
    return found


def _in_place(branch: Branch, node: NamedNode, found: Trace, names: NodeNames) -> list[NamedNode]:
    """The nodes that replace one, named after it."""
    found.constants.update(branch.weights)
    return [
        NamedNode(names.unique(f"{node.name}/{inner.name or inner.op_type}", "", node.index), node.index, inner)
        for inner in branch.nodes
    ]


def _fold(path: Path, node: NamedNode, found: Trace, opsets: Mapping[str, int], memory: Memory) -> None:
    operands = [found.constants[name] for name in node.proto.input if name in found.constants]
    is_stored = node.proto.op_type == "Constant"  # its bytes are in the file and no more than those
    values = memory.recall(node.index, node.name, operands)
    if values is None:
        try:
            known = _inferred(node.proto, found, opsets)
            if not is_stored and node.proto.op_type not in _VIEWS:
                memory.reserve(prod(shape) * _itemsize(kind) for kind, shape in known.values())
            values = evaluate(node.proto, found.constants, opsets)
            if not is_stored:
                memory.keep(node.index, node.name, operands, values)
        except (ValueError, KeyError) as error:
            raise ModelError(
                f"{path}: node '{node.name}' ({node.proto.op_type}) cannot be computed from its constant inputs "
                f"({error}); the file is damaged or uses an operator nmcheck does not know, so export it again."
            ) from error
    outputs = [name for name in node.proto.output if name]
    found.constants.update(zip(outputs, values, strict=True))
    doubles = unrounded(node.proto, found.constants, found.unrounded, opsets)
    if doubles is None and _NO_ROOM not in found.notes:
        found.notes.append(_NO_ROOM)
    found.unrounded.update(doubles or {})


def _itemsize(kind: int) -> int:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)).itemsize


def _shape_value(node: NodeProto, shape: tuple[int, ...]) -> np.ndarray:
    """Output of Shape or Size."""
    if node.op_type == "Size":
        return np.array(prod(shape), dtype=np.int64)
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    return np.array(shape[bounds.get("start", 0) : bounds.get("end")], dtype=np.int64)


def _cast(like: NodeProto, kind: int) -> NodeProto:
    """A CastLike, of whose second input only the type matters, as a Cast to that type."""
    proto = onnx.helper.make_node("Cast", [like.input[0]], list(like.output), to=kind)
    proto.attribute.extend(attribute for attribute in like.attribute if attribute.name != "to")
    return proto


def _chosen(node: NodeProto, found: Trace) -> str | None:
    """What a Where takes throughout, if its condition is known and that is nothing but one of its operands."""
    if node.op_type != "Where" or node.input[0] not in found.constants:
        return None
    condition = found.constants[node.input[0]]
    if not condition.size or bool(condition.all()) != bool(condition.any()):
        return None
    taken = node.input[1 if condition.all() else 2]
    shapes = [found.shapes[name] if name in found.shapes else found.constants[name].shape for name in node.input]
    try:
        whole = np.broadcast_shapes(*shapes)
    except ValueError:
        return None
    return taken if found.shapes.get(taken) == whole else None


def _identity(node: NodeProto, read: str) -> NodeProto:
    return onnx.helper.make_node("Identity", [read], list(node.output), node.name)


def _add_live(path: Path, node: NamedNode, found: Trace, opsets: Mapping[str, int], adapt: Adaptation) -> None:
    proto = node.proto
    replaced = adapt(proto, {name: found.constants[name] for name in proto.input if name in found.constants})
    if replaced:
        proto = NodeProto()
        proto.CopyFrom(node.proto)
        for position, name in enumerate(node.proto.input):
            if name in replaced:
                proto.input[position] = f"{name}:{node.name}"
                found.constants[proto.input[position]] = replaced[name]
        node = NamedNode(node.name, node.index, proto)
    try:
        types = _inferred(proto, found, opsets)
        if any(name and name not in types for name in proto.output):
            types |= _run(proto, found, opsets)
    except ValueError as error:
        shapes = ", ".join(f"{value} {list(found.shapes[value])}" for value in proto.input if value in found.shapes)
        raise ModelError(
            f"{path}: node '{node.name}' ({proto.op_type}) does not fit its inputs {shapes}: {error}; the file is "
            "damaged or needs another input shape, so export it again."
        ) from error
    for name in filter(None, proto.output):
        kind, shape = types[name]
        if prod(shape) > MAX_ELEMENTS:
            raise UnsupportedError(
                f"{path}: node '{node.name}' ({proto.op_type}) makes a value of shape {list(shape)}, more than nmcheck "
                "will hold in memory; export the model for a smaller input."
            )
        if proto.op_type == "Dropout" and name != proto.output[0]:
            # The mask of what is kept, which at inference is everything.
            found.constants[name] = np.ones(shape, onnx.helper.tensor_dtype_to_np_dtype(kind))
        else:
            found.types[name], found.shapes[name] = kind, shape
    found.nodes.append(node)


def _inferred(node: NodeProto, found: Trace, opsets: Mapping[str, int]) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Types and shapes as far as ONNX's inference knows them completely."""
    domain = "" if node.domain in ONNX_DOMAINS else node.domain
    if domain == "" and node.op_type in _CEILED:
        opsets = {**opsets, "": max(opsets[""], _WITHOUT_EMPTY_WINDOWS)}
    schema = onnx.defs.get_schema(node.op_type, opsets[domain], domain)
    types, data = {}, {}
    for name in filter(None, node.input):
        types[name] = _type(name, found)
        if name not in found.shapes and found.constants[name].size <= _SMALL:
            data[name] = onnx.numpy_helper.from_array(found.constants[name], name)
    imports = [onnx.helper.make_opsetid(name, version) for name, version in opsets.items()]
    try:
        inferred = onnx.shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=imports)
    except Exception as error:
        text = str(error).strip().splitlines()
        raise ValueError(text[0].rstrip(".") if text else type(error).__name__) from error
    return {name: known for name, kind in inferred.items() if (known := _complete(kind)) is not None}


def _type(name: str, found: Trace) -> TypeProto:
    if name in found.shapes:
        return onnx.helper.make_tensor_type_proto(found.types[name], found.shapes[name])
    array = found.constants[name]
    return onnx.helper.make_tensor_type_proto(onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _complete(kind: TypeProto) -> tuple[int, tuple[int, ...]] | None:
    tensor = kind.tensor_type
    if not kind.HasField("tensor_type") or not tensor.HasField("shape") or tensor.elem_type == TensorProto.UNDEFINED:
        return None
    if not all(axis.HasField("dim_value") and axis.dim_value >= 0 for axis in tensor.shape.dim):
        return None
    return tensor.elem_type, tuple(axis.dim_value for axis in tensor.shape.dim)


def _run(node: NodeProto, found: Trace, opsets: Mapping[str, int]) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Types and shapes from a run on ones."""
    operands = {
        name: np.ones(found.shapes[name], onnx.helper.tensor_dtype_to_np_dtype(found.types[name]))
        if name in found.shapes
        else found.constants[name]
        for name in node.input
        if name
    }
    outputs = [name for name in node.output if name]
    return {
        name: (onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in zip(outputs, evaluate(node, operands, opsets), strict=True)
    }
