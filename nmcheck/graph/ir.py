"""The graph that every analysis reads: nodes, constants and shapes of one ONNX classifier, for a single sample.

The batch axis, where the file has one, is fixed to length 1, so every shape is a tuple of plain integers and all shape
arithmetic of the file is already folded into constants. Batches are made by ``torch.func.vmap`` (``execute.program``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | np.ndarray


@dataclass(frozen=True)
class Node:
    """One operator application.

    Attributes:
        name: the ONNX node name made unique: ``<Op>_<index>`` if unnamed, with ``_<index>`` appended if it stood twice.
        op: operator type, e.g. ``Conv``.
        domain: operator domain; ``""`` is ONNX's own.
        since_version: version of the operator's definition that the file's opset resolves to.
        inputs: names of the values read; ``""`` for an optional input left out.
        outputs: names of the values written.
        attributes: attributes as plain Python values (strings decoded, tensors as arrays); absent ones are absent, but
            for single numbers, of which ONNX's default is here.
        index: position of the node in the file; for a pattern, that of its last member; -1 for one nmcheck put in.
        recognized_from: ``pattern`` if nmcheck made the node out of several of the file's.
        members: names of the file's nodes a pattern stands for.
    """

    name: str
    op: str
    domain: str
    since_version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    index: int
    recognized_from: Literal["op", "pattern"] = "op"
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """Where a graph came from.

    Attributes:
        path: the file as the user named it.
        fingerprint: sha256 over the graph and all weight bytes, external ones too.
        opset: version of ONNX's own operator set.
        producer: the exporter's name and version.
        metadata: the file's ``metadata_props``.
    """

    path: str
    fingerprint: str
    opset: int
    producer: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Graph:
    """A classifier for one sample.

    Attributes:
        nodes: live nodes from the input to the file's output, each after the nodes it reads from.
        constants: weights and folded constants, by value name.
        shapes: shape of every live value, by value name, with the batch axis (if any) of length 1.
        input: name of the value the sample enters by.
        logits: name of the value read as logits: the file's output, or what stands before a trailing
            Softmax, LogSoftmax or ArgMax.
        output: name of the file's own output.
        batch_axis: axis of the input that counts samples, or None if the file takes one sample without such an axis.
        declared_batch: the batch size the file insists on, or None if it takes any.
        model: where the graph came from.
        notes: what loading changed or assumed, a sentence each, for the user.
        half: whether the file computes in 16 bits, be it values that depend on the sample or constants; nmcheck never
            does.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    shapes: Mapping[str, tuple[int, ...]]
    input: str
    logits: str
    output: str
    batch_axis: int | None
    declared_batch: int | None
    model: ModelInfo
    notes: tuple[str, ...] = field(default=())
    half: bool = False

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """The node that writes each value."""
        return {value: node for node in self.nodes for value in node.outputs if value}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that read each value, in order."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                if value:
                    readers.setdefault(value, []).append(node)
        return {value: tuple(nodes) for value, nodes in readers.items()}

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """The nodes by their unique names."""
        return {node.name: node for node in self.nodes}

    def live_inputs(self, node: Node) -> tuple[str, ...]:
        """Values ``node`` reads that depend on the sample."""
        return tuple(value for value in node.inputs if value and value not in self.constants)
