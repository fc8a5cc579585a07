"""One node in place of the several it stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from nmcheck.graph.ir import Attribute, Graph, Node


def pattern_node(
    graph: Graph,
    last: Node,
    members: Collection[str],
    *,
    op: str,
    since_version: int,
    inputs: tuple[str, ...],
    attributes: Mapping[str, Attribute],
) -> Node:
    """The node that stands for a pattern: named like its last member, at that one's position.

    Args:
        graph: the graph the pattern was found in.
        last: the member that writes the pattern's output.
        members: names of all members.
        op: operator of ONNX's own domain.
        since_version: version of its definition.
        inputs: what it reads.
        attributes: its attributes.
    """
    return Node(
        name=last.name,
        op=op,
        domain="",
        since_version=since_version,
        inputs=inputs,
        outputs=last.outputs,
        attributes=attributes,
        index=last.index,
        recognized_from="pattern",
        members=tuple(sorted(members, key=lambda name: graph.by_name[name].index)),
    )


def is_closed(graph: Graph, last: Node, members: Collection[str]) -> bool:
    """Whether nothing but the pattern reads what its members write, its output apart."""
    reserved = {graph.output, graph.logits}
    inner = (value for name in members if name != last.name for value in graph.by_name[name].outputs if value)
    return all(
        value not in reserved and all(reader.name in members for reader in graph.consumers.get(value, ()))
        for value in inner
    )


def replaced(graph: Graph, layer: Node, constants: Mapping[str, np.ndarray] | None = None) -> Graph:
    """The graph with ``layer`` in place of its members.

    Args:
        graph: the graph the members stand in.
        layer: the node made of them, with the name of the last one.
        constants: new constants it reads.
    """
    gone = set(layer.members)
    nodes = tuple(
        layer if node.name == layer.name else node
        for node in graph.nodes
        if node.name == layer.name or node.name not in gone
    )
    written = {value for name in gone for value in graph.by_name[name].outputs} - set(layer.outputs)
    read = {value for node in nodes for value in node.inputs} | {graph.output}
    return replace(
        graph,
        nodes=nodes,
        constants={name: array for name, array in {**graph.constants, **(constants or {})}.items() if name in read},
        shapes={name: shape for name, shape in graph.shapes.items() if name not in written},
    )
