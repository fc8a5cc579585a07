"""A model's message without its weights: what a drawing needs of it, names, types, shapes and structure."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

from nmcheck.errors import ModelError
from nmcheck.graph.wire import parse_model

_Field = Literal["f", "i", "s", "floats", "ints", "strings"]
_STANDARD, _LEARNED = ("", "ai.onnx"), "ai.onnx.ml"
"""Domains of the operators whose lists of numbers say how, not with what weights, they compute (but for Constant), and
of those whose lists are weights, trees and classes."""
_LONGEST, _LONGEST_LIST = 256, 16
"""Bytes of a text, and members of a list in other domains, that are taken for a setting of an operator."""


def read_without_weights(path: Path) -> ModelProto:
    """The message with initializers that have a name, type and shape; what else may hold weights is still in it.

    Raises:
        ModelError: the file cannot be read as ONNX.
    """
    stubs: list[TensorProto] = []
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            model = parse_model(file, size, lambda tensor: stubs.append(_stub(tensor)))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; name an ONNX file.") from error
    except OSError as error:
        raise ModelError(f"{path}: the file could not be read ({error.strerror}).") from error
    except (DecodeError, RecursionError, ValueError) as error:
        raise ModelError(f"{path}: not a readable ONNX file; export or download it again.") from error
    if not model.graph.node:
        raise ModelError(f"{path}: not an ONNX model with nodes to draw; name an ONNX file.")
    # Those written in an unusual way are still in the message.
    stubs += [_stub(tensor) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    model.graph.initializer.extend(stubs)
    return model


def walk(graph: GraphProto) -> Iterable[tuple[NodeProto, list[GraphProto]]]:
    """All nodes with their sub-graphs, those of sub-graphs after the graph's own."""
    waiting = [graph]
    while waiting:
        for node in waiting.pop(0).node:
            inner = [
                part
                for attribute in node.attribute
                for part in (
                    [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
                )
            ]  # fmt: skip
            waiting += inner
            yield node, inner


def _stub(tensor: TensorProto) -> TensorProto:
    return TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)


def strip_weights(model: ModelProto) -> None:
    """Leave out every number that may be a weight.

    These are the values of all tensors, be they initializers, attributes or in sub-graphs, all that a Constant holds,
    the lists in which operators of other domains keep coefficients, what the file says about training, and what the
    format does not define.
    """
    _strip_initializers(model.graph)
    for node, inner in walk(model.graph):
        for attribute in node.attribute:
            _strip_attribute(node, attribute)
        for part in inner:
            _strip_initializers(part)
    del model.training_info[:]
    model.DiscardUnknownFields()


def _values_in(node: NodeProto, attribute: AttributeProto) -> set[_Field]:
    """Fields of an attribute that hold, or may hold, what the network has learned rather than how it computes."""
    if node.op_type == "Constant":
        return {"f", "i", "s", "floats", "ints", "strings"}
    found: set[_Field] = set()
    if len(attribute.s) > _LONGEST:
        # Whole compiled networks stand in texts of some operators.
        found.add("s")
    if node.domain not in _STANDARD:
        found.add("floats")
        if node.domain == _LEARNED or max(len(attribute.ints), len(attribute.strings)) > _LONGEST_LIST:
            found |= {"ints", "strings"}
    return found


def _strip_initializers(graph: GraphProto) -> None:
    _strip_tensors(*graph.initializer)
    # Netron cannot show a sparse tensor without values; it stands for itself as a dense one of its shape.
    graph.initializer.extend(_dense(tensor) for tensor in graph.sparse_initializer)
    del graph.sparse_initializer[:]


def _strip_attribute(node: NodeProto, attribute: AttributeProto) -> None:
    _strip_tensors(attribute.t, *attribute.tensors)
    if attribute.HasField("sparse_tensor"):
        attribute.t.CopyFrom(_dense(attribute.sparse_tensor))
        attribute.type = AttributeProto.TENSOR
        attribute.ClearField("sparse_tensor")
        if node.op_type == "Constant":
            attribute.name = "value"
    del attribute.sparse_tensors[:]
    for name in _values_in(node, attribute):
        attribute.ClearField(name)


def _strip_tensors(*tensors: TensorProto) -> None:
    for tensor in tensors:
        if tensor.ListFields():
            tensor.CopyFrom(_stub(tensor))


def _dense(tensor: SparseTensorProto) -> TensorProto:
    return TensorProto(name=tensor.values.name, data_type=tensor.values.data_type, dims=tensor.dims)
