"""Where the logits are: in front of a softmax or arg-max at the end of the file's graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from nmcheck.graph.ir import Node

_RENAMING = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Cast")
"""Operators that may stand behind the softmax without changing what it says."""
_FLOATS = (1, 10, 11, 16)
"""ONNX's codes of float, float16, double and bfloat16."""
_HEADS = ("Softmax", "LogSoftmax", "ArgMax", "Hardmax")


def find_logits(
    nodes: Sequence[Node], shapes: Mapping[str, tuple[int, ...]], output: str
) -> tuple[str, tuple[str, ...]]:
    """The value to read as logits, and the names of the nodes left out behind it.

    A head is left out if it works on all the elements of a sample at once; a softmax over part of them, or an output
    without a head, is left as it is.

    Args:
        nodes: the live nodes.
        shapes: shapes of the live values, for one sample.
        output: name of the file's output.
    """
    producers = {value: node for node in nodes for value in node.outputs}
    value, passed, stripped = output, [], []
    while value in producers and (node := producers[value]).op in (*_RENAMING, *_HEADS):
        source = node.inputs[0]
        if source not in shapes or (node.op in _HEADS and not _covers_sample(node, shapes[source])):
            break
        if node.op == "Cast" and not _keeps_order(node, producers.get(source)):
            break
        passed.append(node.name)
        value = source
        if node.op in _HEADS:
            output, stripped = value, list(passed)
    return output, tuple(reversed(stripped))


def _keeps_order(cast: Node, before: Node | None) -> bool:
    """Whether a Cast says the same as its input: to a float type, or of class indices to any type."""
    return cast.attributes.get("to") in _FLOATS or (before is not None and before.op == "ArgMax")


def _covers_sample(node: Node, shape: tuple[int, ...]) -> bool:
    """Whether the elements the head compares with each other are all there are."""
    joint = node.op in ("Softmax", "LogSoftmax", "Hardmax") and node.since_version < 13
    default = 1 if joint else (0 if node.op == "ArgMax" else -1)
    axis = node.attributes.get("axis", default)
    if not isinstance(axis, int) or not -len(shape) <= axis <= len(shape):
        return False
    axis = axis % len(shape) if shape and axis != len(shape) else axis
    compared = prod(shape[axis:]) if joint else prod(shape[axis : axis + 1])
    return compared == prod(shape)
