"""The operator table: every operator nmcheck executes, by domain and name."""

from __future__ import annotations

from collections.abc import Mapping

from nmcheck.errors import UnsupportedError
from nmcheck.execute.operators import (
    activations,
    affine,
    arithmetic,
    casts,
    normalization,
    pooling,
    quantization,
    reduction,
    resize,
    shape,
)
from nmcheck.execute.row import Kind, OperatorRow
from nmcheck.graph.ir import Node

_FAMILIES = (affine, arithmetic, activations, pooling, normalization, reduction, shape, casts, resize, quantization)

ROWS: Mapping[tuple[str, str], OperatorRow] = {(row.domain, row.op): row for family in _FAMILIES for row in family.ROWS}
"""All rows by (domain, operator)."""


def row_for(node: Node) -> OperatorRow:
    """The row that executes a node.

    Raises:
        UnsupportedError: there is none; the message names the node.
    """
    row = ROWS.get((node.domain, node.op))
    full = f"{node.domain}.{node.op}" if node.domain else node.op
    if row is None:
        raise UnsupportedError(
            f"node '{node.name}': operator '{full}' is not one nmcheck executes on values that depend on the sample; "
            "export the model with other operators or a lower operator set."
        )
    if node.since_version < row.since:
        raise UnsupportedError(
            f"node '{node.name}': version {node.since_version} of operator '{full}' is older than the {row.since} that "
            "nmcheck executes; convert the model with onnx.version_converter."
        )
    return row


__all__ = ["ROWS", "Kind", "OperatorRow", "row_for"]
