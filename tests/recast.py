"""A file with its float32 numbers in another precision."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

_SINGLE_ONLY = {"Resize": (2,), "Upsample": (1,)}
"""Positions of operands that ONNX wants in float32 whatever the others are: scales."""


def recast(model: ModelProto, kind: int) -> ModelProto:
    """Weights, constants, input, output, Cast targets and stated types of float32 in another floating-point type.

    Args:
        model: left as it is.
        kind: ONNX's code of the type.
    """
    result = ModelProto()
    result.CopyFrom(model)
    _graph(result.graph, kind)
    for function in result.functions:
        _nodes(function.node, kind)
    return result


def with_half_weights(model: ModelProto) -> ModelProto:
    """The weights in float16, each behind a Cast to float32; all else as it was."""
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            name = tensor.name
            _tensor(tensor, TensorProto.FLOAT16)
            tensor.name = f"{name}:half"
            casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}:cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _graph(graph: GraphProto, kind: int) -> None:
    kept = _kept(graph.node)
    for tensor in graph.initializer:
        if tensor.name not in kept:
            _tensor(tensor, kind)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name not in kept and value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = kind
    _nodes(graph.node, kind)


def _kept(nodes: Iterable[NodeProto]) -> set[str]:
    return {
        node.input[position]
        for node in nodes
        for position in _SINGLE_ONLY.get(node.op_type, ())
        if position < len(node.input) and node.input[position]
    }


def _nodes(nodes: Iterable[NodeProto], kind: int) -> None:
    nodes = list(nodes)
    kept = _kept(nodes)
    for node in nodes:
        if node.op_type == "ConstantOfShape" and not node.attribute:
            node.attribute.append(helper.make_attribute("value", helper.make_tensor("", kind, [1], [0.0])))
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                _graph(attribute.g, kind)
            elif attribute.type == AttributeProto.TENSOR and not kept.intersection(node.output):
                _tensor(attribute.t, kind)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = kind
            elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
                numbers = [attribute.f] if attribute.name == "value_float" else list(attribute.floats)
                shape = [] if attribute.name == "value_float" else [len(numbers)]
                attribute.CopyFrom(helper.make_attribute("value", helper.make_tensor("", kind, shape, numbers)))


def _tensor(tensor: TensorProto, kind: int) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        array = numpy_helper.to_array(tensor).astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
