"""Means and sums over windows of channels, in the ways they are written: pooling, convolution, sums of slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from nmcheck.graph.ir import Graph, Node
from nmcheck.graph.scalars import uniform

_RENAMING = ("Reshape", "Unsqueeze", "Squeeze", "Identity", "Flatten")
_LARGEST_SUM = 64
"""Slices in a sum beyond which it is not looked at."""


@dataclass(frozen=True)
class ChannelWindow:
    """A value that is ``factor`` times the mean over ``size`` neighbouring channels, zero beyond the first and last.

    The window is that of ONNX's LRN: (size - 1) // 2 channels back and size // 2 ahead.

    Attributes:
        source: what is averaged.
        axis: axis of the channels in it.
        size: channels in a window.
        factor: what the mean is multiplied with.
        nodes: names of the nodes.
    """

    source: str
    axis: int
    size: int
    factor: float
    nodes: frozenset[str]


def channel_window(graph: Graph, value: str) -> ChannelWindow | None:
    """Read ``value`` as a window over channels, axis 1 or the last one; None if it is none.

    ``value`` has to have the shape of what is averaged. Whether others read the values in between is not looked at.
    """
    inner, behind = _renamed(graph, value)
    node = graph.producers.get(inner)
    if node is None or node.domain:
        return None
    if node.op in ("AveragePool", "Conv"):
        found = _slid(graph, node) or _band(graph, node)
    else:
        found = _sliced(graph, node) if node.op in ("Add", "Sum") else None
    if found is None or graph.shapes[found.source] != graph.shapes[value]:
        return None
    return ChannelWindow(found.source, found.axis, found.size, found.factor, found.nodes | behind)


def _renamed(graph: Graph, value: str, operators: Sequence[str] = _RENAMING) -> tuple[str, frozenset[str]]:
    """The value in front of operators that only reshape, or pad with nothing, and their names."""
    nodes: set[str] = set()
    while (node := graph.producers.get(value)) is not None and not node.domain:
        same = node.op == "Pad" and not any(zero_pads(graph, node) or (1,))
        if not same and (node.op not in operators or node.inputs[0] not in graph.shapes):
            break
        nodes.add(node.name)
        value = node.inputs[0]
    return value, frozenset(nodes)


def _slid(graph: Graph, node: Node) -> ChannelWindow | None:
    """A pooling, or a convolution with equal weights, over one axis of the reshaped value."""
    kernel = node.attributes.get("kernel_shape")
    weight = 1.0
    if node.op == "Conv":
        array = graph.constants.get(node.inputs[1])
        number = None if array is None else uniform(array)
        if array is None or number is None or array.shape[:2] != (1, 1) or any(node.inputs[2:3]):
            return None
        kernel, weight = array.shape[2:], number
    padded, between = _renamed(graph, node.inputs[0], ())
    pad = graph.producers.get(padded)
    if pad is not None and pad.op == "Pad" and not pad.domain:
        between |= {pad.name}
        plain = pad.inputs[0]
    else:
        pad, plain = None, padded
    shape = graph.shapes[plain]
    source, renamed = _renamed(graph, plain)
    places = None if not isinstance(kernel, tuple) else _wide_axis(node, kernel, shape)
    axis = None if places is None else _channel_axis(shape, places, graph.shapes[source])
    if places is None or axis is None or not isinstance(kernel, tuple) or graph.shapes[node.outputs[0]] != shape:
        return None
    size = int(kernel[places - 2])
    if not _pads_fit(graph, node, pad, _around(len(shape), places, size)):
        return None
    factor = 1.0 if node.op == "AveragePool" else weight * size
    return ChannelWindow(source, axis, size, factor, between | renamed | {node.name})


def _wide_axis(node: Node, kernel: Sequence[object], shape: tuple[int, ...]) -> int | None:
    """The one axis that a window without strides and dilations slides over."""
    wide = [axis for axis, taps in enumerate(kernel, start=2) if taps != 1]
    ones = {(1,) * len(kernel), None}
    strided = node.attributes.get("strides") not in ones or node.attributes.get("dilations") not in ones
    if len(kernel) != len(shape) - 2 or len(wide) != 1 or strided:
        return None
    return wide[0] if node.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID") else None


def _channel_axis(shape: tuple[int, ...], axis: int, original: tuple[int, ...]) -> int | None:
    """Which axis of the original the reshaped one is: of the same length, with as many elements in front of it."""
    for channels in (1, len(original) - 1):
        if shape[axis] == original[channels] and prod(shape[:axis]) == prod(original[:channels]):
            return channels
    return None


def _around(rank: int, axis: int, size: int) -> tuple[int, ...]:
    """The pads of a window of ``size``, those in front of all axes and then those behind."""
    before, after = [0] * rank, [0] * rank
    before[axis], after[axis] = (size - 1) // 2, size // 2
    return (*before, *after)


def _pads_fit(graph: Graph, node: Node, pad: Node | None, wanted: tuple[int, ...]) -> bool:
    """Whether a pooling or convolution, with the Pad in front of it if any, pads with zeros as ``wanted``."""
    rank = len(wanted) // 2
    inside = node.attributes.get("pads") or (0,) * (2 * (rank - 2))
    if not isinstance(inside, tuple):
        return False
    if pad is not None:
        return not any(inside) and zero_pads(graph, pad) == wanted
    counted = node.op == "Conv" or bool(node.attributes.get("count_include_pad", 0))
    return tuple(inside) == (*wanted[2:rank], *wanted[rank + 2 :]) and counted


def _band(graph: Graph, node: Node) -> ChannelWindow | None:
    """A 1 x 1 convolution whose matrix is a band of equal weights."""
    array = graph.constants.get(node.inputs[1]) if node.op == "Conv" else None
    if array is None or any(node.inputs[2:3]) or array.ndim < 3 or array.size != array.shape[0] ** 2:
        return None
    source = node.inputs[0]
    if array.shape[0] != array.shape[1] or graph.shapes[node.outputs[0]] != graph.shapes[source]:
        return None
    matrix = array.reshape(array.shape[:2])
    channels, ahead = len(matrix), int(np.count_nonzero(matrix[0])) - 1
    back = int(np.count_nonzero(matrix[:, 0])) - 1
    size, weight = back + ahead + 1, float(matrix[0, 0])
    if (back, ahead) != ((size - 1) // 2, size // 2) or max(back, ahead) >= channels:
        return None
    places = np.arange(channels)[None, :] - np.arange(channels)[:, None]
    wanted = np.where((places >= -back) & (places <= ahead), weight, 0.0)
    if not np.array_equal(matrix, wanted):
        return None
    return ChannelWindow(source, 1, size, weight * size, frozenset({node.name}))


def _sliced(graph: Graph, node: Node) -> ChannelWindow | None:
    """A sum of slices of a padded value, each moved on by one channel."""
    slices: list[Node] = []
    nodes = {node.name}
    front = list(node.inputs)
    while front and len(slices) <= _LARGEST_SUM:
        inner = graph.producers.get(front.pop())
        if inner is None or inner.domain or inner.op not in ("Add", "Sum", "Slice"):
            return None
        nodes.add(inner.name)
        if inner.op == "Slice":
            slices.append(inner)
        else:
            front += inner.inputs
    size = len(slices)
    pad = graph.producers.get(slices[0].inputs[0])
    if pad is None or pad.op != "Pad" or pad.domain or any(one.inputs[0] != pad.outputs[0] for one in slices):
        return None
    shape = graph.shapes[pad.inputs[0]]
    pads = zero_pads(graph, pad)
    for axis in {1, len(shape) - 1}:
        starts = sorted(_start(graph, one, axis, shape[axis]) for one in slices)
        if pads == _around(len(shape), axis, size) and starts == list(range(size)):
            return ChannelWindow(pad.inputs[0], axis, size, float(size), frozenset(nodes | {pad.name}))
    return None


def _start(graph: Graph, node: Node, axis: int, length: int) -> int:
    """Where a slice of ``length`` elements along one axis starts; -1 if it is another slice."""
    rank, padded = len(graph.shapes[node.inputs[0]]), graph.shapes[node.inputs[0]][axis]

    def operand(position: int, name: str) -> list[int] | None:
        if node.since_version < 10:
            found = node.attributes.get(name)
            return [int(entry) for entry in found] if isinstance(found, tuple) else None
        value = (*node.inputs, "", "", "", "")[position]
        return graph.constants[value].reshape(-1).tolist() if value in graph.constants else None

    starts, ends, axes, steps = (operand(p, n) for p, n in ((1, "starts"), (2, "ends"), (3, "axes"), (4, "steps")))
    if starts is None or ends is None or axes is None or len(starts) != 1 or [a % rank for a in axes] != [axis]:
        return -1
    if steps not in (None, [1]):
        return -1
    start, stop, _ = slice(starts[0], ends[0]).indices(padded)
    return start if stop - start == length else -1


def zero_pads(graph: Graph, pad: Node) -> tuple[int, ...] | None:
    """The pads of a Pad node that writes zeros, those in front of all axes and then those behind; None of another."""
    rank = len(graph.shapes[pad.inputs[0]])
    if pad.attributes.get("mode", "constant") != "constant":
        return None
    if pad.since_version < 11:
        pads, value = pad.attributes.get("pads"), pad.attributes.get("value", 0.0)
        return tuple(int(length) for length in pads) if isinstance(pads, tuple) and value == 0.0 else None
    operands = [graph.constants.get(name) if name else None for name in (*pad.inputs[1:], "", "", "")]
    if operands[0] is None or (any(pad.inputs[2:3]) and (operands[1] is None or operands[1].any())):
        return None
    axes = range(rank) if operands[2] is None else operands[2].tolist()
    if any(pad.inputs[3:4]) and operands[2] is None:
        return None
    full = np.zeros((2, rank), dtype=np.int64)
    full[:, [axis % rank for axis in axes]] = operands[0].reshape(2, -1)
    return tuple(int(length) for length in full.flatten())
