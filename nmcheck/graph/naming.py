"""Names and attributes of nodes, as the rest of nmcheck and its reports use them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto

from nmcheck.errors import UnsupportedError
from nmcheck.graph.ir import Attribute
from nmcheck.graph.tensors import as_array


class NodeNames:
    """Hands out names that no other node of the graph has."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def copy(self) -> NodeNames:
        """The same names taken, for a walk that may be repeated."""
        return NodeNames(self._taken)

    def unique(self, name: str, op: str, index: int) -> str:
        """``name``, or ``<op>_<index>`` if it is empty, with ``_<index>`` appended as long as it is taken."""
        candidate = name or f"{op}_{index}"
        while candidate in self._taken:
            candidate = f"{candidate}_{index}"
        self._taken.add(candidate)
        return candidate


def unique_names(nodes: Iterable[tuple[int, NodeProto]]) -> tuple[dict[int, str], NodeNames]:
    """A unique name for each node by its position in the file, given out in the order of the file.

    Names that stand in the file go before made-up ones, so that an unnamed node never takes a name the file uses.
    """
    names, result = NodeNames(), {}
    ordered = sorted(nodes, key=lambda entry: entry[0])
    for index, node in [entry for entry in ordered if entry[1].name] + [e for e in ordered if not e[1].name]:
        result[index] = names.unique(node.name, node.op_type, index)
    return result, names


def attributes_of(path: Path, name: str, node: NodeProto) -> dict[str, Attribute]:
    """The attributes as plain Python values.

    Args:
        path: for messages.
        name: the node's unique name, for messages.
        node: the node.

    Raises:
        UnsupportedError: an attribute is a sub-graph or another thing nmcheck does not execute.
    """
    return {attribute.name: _plain(path, name, node, attribute) for attribute in node.attribute}


def _plain(path: Path, name: str, node: NodeProto, attribute: AttributeProto) -> Attribute:
    if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        raise UnsupportedError(
            f"{path}: node '{name}' ({node.op_type}): its control flow depends on the sample, which nmcheck does not "
            "analyse; export the model for a fixed input shape."
        )
    if attribute.type == AttributeProto.TENSOR:
        return as_array(path, attribute.t)
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, int | float | np.ndarray):
        return value
    if attribute.type == AttributeProto.STRINGS:
        return tuple(entry.decode("utf-8", "replace") for entry in value)
    if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        return tuple(value)
    kind = AttributeProto.AttributeType.Name(attribute.type).lower()
    raise UnsupportedError(
        f"{path}: node '{name}' ({node.op_type}): attribute '{attribute.name}' is of type {kind}, which nmcheck does "
        "not read; export the model with standard ONNX operators."
    )
