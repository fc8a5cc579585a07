"""Which axis of the input counts samples, and the graph for a batch of one.

A file's batch may be symbolic, one, larger than one or absent. The graph is traced for two batch sizes; if every live
value then differs in one axis only, by the ratio of the batch sizes, and no operator works along that axis, the samples
of a batch do not touch each other and the graph for one sample says everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from onnx import NodeProto

from nmcheck.errors import ModelError, UnsupportedError
from nmcheck.graph.tracing import Adaptation, StaticOperands, Trace, keep_operands

_DEFAULT_AXIS = {"Softmax": -1, "LogSoftmax": -1, "Hardmax": -1, "LayerNormalization": -1, "RMSNormalization": -1,
                 "LpNormalization": -1, "Concat": 0, "Split": 0, "Gather": 0, "CumSum": 0, "TopK": -1}  # fmt: skip
"""Operators that mix or select elements along an axis, and the axis without an attribute."""
_OLD_SOFTMAX = ("Softmax", "LogSoftmax", "Hardmax")
"""Before operator set 13 these normalized over all axes from ``axis`` (default 1) on."""
_FROM_AXIS_ON = ("LayerNormalization", "RMSNormalization")
_BROADCAST = {"Gemm": 2, "PRelu": 1}
"""Operators whose inferred shape does not grow with a constant operand, and which operand that is."""
_RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
"""Operators that keep elements in row-major order, so that what stands in front of the batch must stay there."""
_ALL_AXES = ("Einsum",)
"""Operators that are not looked into and therefore allow no batch but one."""
_LINE_BY_LINE = frozenset(
    {*_RESHAPING, "Transpose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Sqrt", "Cast", "Identity", "Dropout",
     "LayerNormalization", "RMSNormalization", "Softmax", "Relu", "Gelu", "Erf", "Sigmoid", "Tanh"}
)  # fmt: skip
"""Operators that treat the lines along an axis alike, so that samples may alternate with other things there."""


@dataclass(frozen=True)
class _Place:
    """Where a value tells samples apart.

    Attributes:
        axis: the axis that grows with the batch.
        outside: how often the samples follow each other along it: 5 where 5 tokens of N samples were merged into an
            axis of 5 N.
    """

    axis: int
    outside: int = 1

    def in_front(self, shape: tuple[int, ...]) -> int:
        """How many elements come before the second sample's first one if each sample has one element only."""
        return prod(shape[: self.axis]) * self.outside


@dataclass(frozen=True)
class Sample:
    """One sample's trace.

    Attributes:
        trace: the trace with the batch axis, if any, of length 1.
        batch_axis: that axis of the input, or None.
        declared_batch: the batch size the file insists on, or None if it takes any.
        notes: what was assumed, a sentence each.
    """

    trace: Trace
    batch_axis: int | None
    declared_batch: int | None
    notes: tuple[str, ...] = ()


Tracer = Callable[[tuple[int, ...], Adaptation], Trace]
"""Traces the file for one shape of its input."""


def one_sample(
    path: Path, source: str, dims: tuple[int | None, ...], *, target: str, tracer: Tracer, opset: int
) -> Sample:
    """Find the batch axis and trace the graph for a batch of one.

    Args:
        path: for messages.
        source: name of the input, for messages.
        dims: the input's declared axes; None where the length is symbolic.
        target: name of the output.
        tracer: traces the file.
        opset: version of ONNX's own operators.

    Raises:
        ModelError: the graph does not fit its declared input.
        UnsupportedError: the input has an axis without a length, or its fixed batch cannot be made one.
    """
    fixed = _fixed_lengths(path, source, dims)
    if not dims:
        return Sample(tracer((), keep_operands), None, None)
    if dims[0] is None:
        single = tracer((1, *fixed), keep_operands)
        ends = (source, target)
        reason = _reason_against_batches(lambda: tracer((2, *fixed), keep_operands), single, 2, ends=ends, opset=opset)
        if reason is None:
            return Sample(single, 0, None)
        note = f"The file declares any batch size, but only one sample at a time runs: {reason}."
        return Sample(single, 0, 1, (note,))
    length = dims[0]
    if length == 1 or len(dims) == 1:
        has_batch = len(dims) > 1
        single = tracer((length, *fixed), keep_operands)
        return Sample(single, 0 if has_batch else None, 1 if has_batch else None)
    whole = tracer((length, *fixed), keep_operands)
    try:
        single = tracer((1, *fixed), _leading_one(length, whole))
        reason = _reason_against_batches(lambda: whole, single, length, ends=(source, target), opset=opset)
    except ModelError as error:
        single, reason = whole, str(error).removeprefix(f"{path}: ")
    if reason is None:
        note = f"The file declares batches of {length}; the graph was rewritten for one sample."
        return Sample(single, 0, length, (note,))
    if len(dims) > 2 and whole.shapes.get(target, ())[:1] == (length,):
        raise UnsupportedError(
            f"{path}: input '{source}' has a fixed batch of {length}, and the graph could not be rewritten for one "
            f"sample ({reason}); export the model with a batch of 1 or a dynamic batch."
        )
    note = f"Input '{source}' of shape {[length, *fixed]} is taken as one sample without a batch axis."
    return Sample(whole, None, None, (note,))


def _fixed_lengths(path: Path, source: str, dims: tuple[int | None, ...]) -> tuple[int, ...]:
    """The lengths of all axes but the first."""
    for axis, length in enumerate(dims):
        if axis and length is None:
            raise UnsupportedError(
                f"{path}: axis {axis} of input '{source}' has no fixed length; export the model with a fixed input "
                "shape (only the first axis, the batch, may be symbolic)."
            )
    return tuple(length for length in dims[1:] if length is not None)


def _leading_one(batch: int, whole: Trace) -> Adaptation:
    """Replaces the batch size by 1 at the head of Reshape and Expand targets that keep the batch in front."""

    def adapt(node: NodeProto, operands: StaticOperands) -> StaticOperands:
        if node.op_type not in ("Reshape", "Expand") or node.input[1] not in operands:
            return {}
        target = operands[node.input[1]]
        in_front = all(whole.shapes.get(value, ())[:1] == (batch,) for value in (node.input[0], node.output[0]))
        if not in_front or target.ndim != 1 or target[0] != batch:
            return {}
        return {node.input[1]: np.concatenate([np.ones(1, target.dtype), target[1:]])}

    return adapt


def _reason_against_batches(
    traced: Callable[[], Trace], single: Trace, batch: int, *, ends: tuple[str, str], opset: int
) -> str | None:
    """Why the samples of a batch are not independent in this graph, or None if they are."""
    try:
        several = traced()
    except ModelError as error:
        return str(error).partition(": ")[2].rstrip(".")
    if [node.name for node in several.nodes] != [node.name for node in single.nodes]:
        return "the graph depends on the batch size"
    source, target = ends
    places = {source: _Place(0)}
    for node in single.nodes:
        reason = _node_reason(node.proto, single, several, batch, places=places, opset=opset)
        if reason is not None:
            return f"node '{node.name}' ({node.proto.op_type}) {reason}"
    if target in single.shapes and places[target].in_front(single.shapes[target]) != 1:
        return f"the batch is not the first axis of output '{target}'"
    return None


def _node_reason(
    node: NodeProto, single: Trace, several: Trace, batch: int, *, places: dict[str, _Place], opset: int
) -> str | None:
    """What a node does to the batch that it should not, or None; notes where its outputs have it in ``places``."""
    read = {value: places[value] for value in node.input if value in places}
    mixed = _mixed_axes(node, single, opset)
    if any(place.axis in mixed for place in read.values()):
        return "works along the batch"
    outsides = {place.outside for place in read.values()}
    if outsides != {1} and (len(outsides) > 1 or node.op_type not in _LINE_BY_LINE):
        return "reads samples that alternate with other things"
    # The mask of a Dropout is static.
    for value in (name for name in node.output if name in single.shapes):
        axis = _batch_axis(single.shapes[value], several.shapes[value], batch)
        if axis is None:
            return "does not keep the batch apart"
        place: _Place | None = _Place(axis, max(outsides))
        if node.op_type in _RESHAPING:
            place = _reshaped(single, node.input[0], read.get(node.input[0]), value, axis)
        if place is None:
            return "moves elements between samples"
        places[value] = place
    return None


def _batch_axis(one: tuple[int, ...], several: tuple[int, ...], batch: int) -> int | None:
    """The axis in which two shapes differ, if there is just one and it grows with the batch."""
    if len(one) != len(several):
        return None
    different = [axis for axis in range(len(one)) if one[axis] != several[axis]]
    if len(different) != 1 or several[different[0]] != batch * one[different[0]]:
        return None
    return different[0]


def _reshaped(single: Trace, source: str, place: _Place | None, target: str, axis: int) -> _Place | None:
    """Where the batch is after a Reshape that leaves it in ``axis``; None if other elements are in front of it then."""
    if place is None:
        return None
    shape = single.shapes[target]
    outside, rest = divmod(place.in_front(single.shapes[source]), max(1, prod(shape[:axis])))
    return None if rest or not outside or shape[axis] % outside else _Place(axis, outside)


def _mixed_axes(node: NodeProto, single: Trace, opset: int) -> Collection[int]:
    """Axes of the first live input along which a node mixes, repeats or tells apart elements.

    Only what the shapes for two batch sizes do not show is looked for.
    """
    live = next(value for value in node.input if value in single.shapes)
    rank = len(single.shapes[live])
    if node.op_type in _ALL_AXES:
        return range(rank)
    if node.op_type in _BROADCAST and len(node.input) > _BROADCAST[node.op_type]:
        constant = single.constants.get(node.input[_BROADCAST[node.op_type]], np.zeros(()))
        return [axis for axis in range(rank) if constant.shape[::-1][rank - 1 - axis : rank - axis] > (1,)]
    if node.op_type == "Tile":
        return [axis for axis, repeats in enumerate(single.constants[node.input[1]].flat) if repeats != 1]
    if node.op_type == "MeanVarianceNormalization":
        axes = next((list(a.ints) for a in node.attribute if a.name == "axes"), [0, 2, 3])
        return [axis % rank for axis in axes]
    if node.op_type not in _DEFAULT_AXIS:
        return ()
    old = node.op_type in _OLD_SOFTMAX and opset < 13
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1 if old else _DEFAULT_AXIS[node.op_type])
    axis = axis + rank if axis < 0 else axis
    return range(axis, rank) if old or node.op_type in _FROM_AXIS_ON else (axis,)
