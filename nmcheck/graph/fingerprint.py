"""What a file computes, as one number: the same for any path and for weights inside or outside the file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, ModelProto

NOTE_KEYS = "nm."
"""How the keys of nmcheck's own notes on nodes begin."""


def fingerprint(model: ModelProto, weights: Mapping[str, np.ndarray]) -> str:
    """sha256 over the graph, the operator sets and all weight bytes, in hexadecimal.

    The model's producer, documentation and metadata do not count, nor do nmcheck's notes on nodes: a copy of
    ``nmcheck annotate`` is the same model, if all nodes had names.

    Args:
        model: the message without its initializers.
        weights: the initializers by name; hashed in the order of their names, as little-endian bytes with type and
            shape, so that the way the file stores them makes no difference.
    """
    digest = hashlib.sha256()
    for entry in sorted(model.opset_import, key=lambda entry: (entry.domain, entry.version)):
        digest.update(f"{entry.domain} {entry.version};".encode())
    for part in (_without_notes(model.graph), *model.functions):
        message = part.SerializeToString(deterministic=True)
        digest.update(f"{len(message)}:".encode())
        digest.update(message)
    for name in sorted(weights):
        array = weights[name]
        digest.update(f"{name} {array.dtype.name} {array.shape};".encode())
        digest.update(_little_endian(array))
    return digest.hexdigest()


def _without_notes(graph: GraphProto) -> GraphProto:
    if not any(entry.key.startswith(NOTE_KEYS) for node in graph.node for entry in node.metadata_props):
        return graph
    copy = GraphProto()
    copy.CopyFrom(graph)
    for node in copy.node:
        kept = [entry for entry in node.metadata_props if not entry.key.startswith(NOTE_KEYS)]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return copy


def _little_endian(array: np.ndarray) -> bytes | memoryview:
    if array.dtype == object:
        return "\0".join(str(entry) for entry in array.flat).encode()
    ordered = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    # The bytes themselves, not a copy of them.
    return ordered.reshape(-1).view(np.uint8).data
