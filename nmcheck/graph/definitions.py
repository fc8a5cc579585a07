"""Operators that ONNX defines by other operators, replaced by those.

Attention is matrix products and a softmax; what is known about those holds for it, too, and nothing has to be known
about its own many attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import FunctionProto, NodeProto, TypeProto

from nmcheck.errors import UnsupportedError
from nmcheck.graph.branches import Branch, renamed_node
from nmcheck.graph.reading import ONNX_DOMAINS

_REPLACED = ("Attention", "RotaryEmbedding")


def is_replaced(node: NodeProto) -> bool:
    """Whether the operator is executed by way of its definition."""
    return node.op_type in _REPLACED and node.domain in ONNX_DOMAINS


def definition(
    path: Path, node: NodeProto, types: Mapping[str, TypeProto], opsets: Mapping[str, int], prefix: str
) -> Branch:
    """The nodes that replace one, in order; the last ones write its outputs.

    Args:
        path: for messages.
        node: the node.
        types: types and shapes of the values it reads.
        opsets: versions of the operator sets, by domain.
        prefix: put in front of the names of values in between.

    Raises:
        UnsupportedError: ONNX does not say how to compute the operator as it is used here.
    """
    function = _function(path, node, types, opsets[""], prefix[:-1])
    outside = dict(zip(function.input, [*node.input, *[""] * len(function.input)], strict=False))
    written = {inside: name for inside, name in zip(function.output, node.output, strict=False) if name}
    between = {value for inner in function.node for value in inner.output if value}
    names = {**{value: prefix + value for value in between}, **outside, **written}
    return Branch(tuple(renamed_node(inner, names) for inner in function.node), {})


def _function(path: Path, node: NodeProto, types: Mapping[str, TypeProto], opset: int, name: str) -> FunctionProto:
    # The type stubs of onnx do not know how a schema is asked for its definition.
    schema: Any = onnx.defs.get_schema(node.op_type, opset, "")
    # Operator sets that came after the definition's have added types to the operators in it, and nothing else.
    version = max(v for v in schema.context_dependent_function_opset_versions if v <= opset)
    given = [types.get(value, TypeProto()).SerializeToString() for value in node.input]
    try:
        found = schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), given)
    except Exception as error:
        found, why = b"", f" ({str(error).strip().splitlines()[0]})" if str(error).strip() else ""
    else:
        why = ""
    if not found:
        raise UnsupportedError(
            f"{path}: node '{name}' ({node.op_type}): ONNX does not define what it computes with these attributes and "
            f"inputs{why}; export the model with an older operator set, which decomposes it into primitive operators."
        )
    return FunctionProto.FromString(found)
