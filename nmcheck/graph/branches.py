"""The branch that an If with a known condition takes, ready to stand in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto

from nmcheck.errors import ModelError
from nmcheck.graph.tensors import as_array


@dataclass(frozen=True)
class Branch:
    """Nodes and weights of a branch, its values renamed so that none is taken in the graph around it.

    Attributes:
        nodes: the nodes in order; the last ones write the outputs of the If.
        weights: the branch's own initializers.
    """

    nodes: tuple[NodeProto, ...]
    weights: dict[str, np.ndarray]


def taken_branch(path: Path, node: NodeProto, condition: bool, prefix: str) -> Branch:
    """The nodes that replace an If.

    Args:
        path: for messages.
        node: the If.
        condition: the value it tests.
        prefix: put in front of the names of the branch's own values.

    Raises:
        ModelError: the If has no such branch.
    """
    wanted = "then_branch" if condition else "else_branch"
    branch = next((attribute.g for attribute in node.attribute if attribute.name == wanted), None)
    if branch is None or len(branch.output) != len(node.output):
        raise ModelError(f"{path}: node '{prefix[:-1]}' (If) has no complete {wanted}; the file is damaged.")
    own = {value for inner in branch.node for value in inner.output if value}
    own.update(tensor.name for tensor in branch.initializer)
    renamed = {value: prefix + value for value in own}
    nodes = [renamed_node(inner, renamed) for inner in branch.node]
    nodes += [
        onnx.helper.make_node("Identity", [renamed.get(inside.name, inside.name)], [outside])
        for inside, outside in zip(branch.output, node.output, strict=True)
        if outside
    ]
    weights = {prefix + tensor.name: as_array(path, tensor) for tensor in branch.initializer}
    return Branch(tuple(nodes), weights)


def renamed_node(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    """A node that reads and writes values under other names.

    Args:
        node: the node.
        names: new names; values that are not listed keep theirs.
    """
    result = NodeProto()
    result.CopyFrom(node)
    for values in (result.input, result.output):
        for position, value in enumerate(values):
            values[position] = names.get(value, value)
    for attribute in result.attribute:
        for graph in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
            _rename_inside(graph, names)
    return result


def _rename_inside(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Rename what a nested graph reads from the branch; its own values shadow outer ones."""
    own = {value for inner in graph.node for value in inner.output}
    own.update(tensor.name for tensor in graph.initializer)
    outer = {old: new for old, new in names.items() if old not in own}
    renamed = [renamed_node(inner, outer) for inner in graph.node]
    del graph.node[:]
    graph.node.extend(renamed)
    for value in graph.output:
        value.name = outer.get(value.name, value.name)
