"""Operators that move, select, repeat and join elements.

Shapes are all known, so what an operator reshapes to is read off the graph and never computed from its operands.
"""

from __future__ import annotations

import numpy as np

from nmcheck.execute.on_demand import Tensor, functional, torch
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.row import Kind, OperatorRow
from nmcheck.execute.windows import torch_pads


def reshape(operands: Operands) -> Function:
    """Reshape, Flatten, Squeeze and Unsqueeze."""
    shape = operands.output_shape
    return lambda x: x.reshape(shape)


def identity(_operands: Operands) -> Function:
    """Identity."""
    return lambda x: x


def dropout(operands: Operands) -> Function:
    """Dropout at inference, the identity whatever its ratio."""
    operands.static(1)
    return lambda x: x


def transpose(operands: Operands) -> Function:
    """Transpose; without ``perm``, all axes the other way round."""
    order = operands.integers("perm") or tuple(reversed(range(len(operands.shape(0)))))
    return lambda x: x.permute(order)


def expand(operands: Operands) -> Function:
    """Expand by broadcasting."""
    shape = operands.output_shape
    return lambda x: x.expand(shape)


def tile(operands: Operands) -> Function:
    """Tile: the whole tensor repeated along each axis."""
    repeats = operands.integers_at(1) or ()
    return lambda x: x.repeat(repeats)


def concat(operands: Operands) -> Function:
    """Concat along an axis, constants among the parts."""
    axis = operands.integer("axis", 1)
    return operands.filled(lambda *parts: torch.cat(parts, dim=axis))


def split(operands: Operands) -> Function:
    """Split into the graph's output shapes."""
    axis = operands.integer("axis", 0)
    lengths = [operands.graph.shapes[name][axis] for name in operands.node.outputs]
    return lambda x: tuple(torch.split(x, lengths, dim=axis))


def slice_(operands: Operands) -> Function:
    """Slice, by attributes or by inputs, steps of any sign."""
    rank = len(operands.shape(0))
    if operands.node.since_version < 10:
        starts, ends = operands.integers("starts") or (), operands.integers("ends") or ()
        axes, steps = operands.integers("axes"), None
    else:
        starts, ends = operands.integers_at(1) or (), operands.integers_at(2) or ()
        axes, steps = operands.integers_at(3), operands.integers_at(4)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    chosen = {
        axis % rank: _chosen(operands.shape(0)[axis], start, end, step)
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True)
    }
    return _selecting(operands, chosen)


def _chosen(length: int, start: int, end: int, step: int) -> np.ndarray:
    """The positions a slice selects; ONNX's ends may lie far outside, as numpy's may."""
    # Going backwards, an end at or below -length - 1 means "up to the first element", which numpy writes as None.
    last = None if step < 0 and end < -length else end
    return np.arange(length)[start:last:step]


def _selecting(operands: Operands, chosen: dict[int, np.ndarray]) -> Function:
    """Select positions along axes."""
    shape = operands.shape(0)
    plain: list[slice] = [slice(None)] * len(shape)
    picked = []
    for axis, positions in chosen.items():
        step = int(positions[1] - positions[0]) if len(positions) > 1 else 1
        if len(positions) and step > 0 and np.all(np.diff(positions) == step):
            plain[axis] = slice(int(positions[0]), int(positions[-1]) + 1, step)
        else:
            picked.append((axis, operands.as_tensor(positions)))
    cut = tuple(plain)

    def apply(x: Tensor) -> Tensor:
        result = x[cut]
        for axis, positions in picked:
            result = torch.index_select(result, axis, positions)
        return result

    return apply


def gather(operands: Operands) -> Function:
    """Gather by known indices."""
    shape, indices = operands.shape(0), operands.required(1)
    axis = operands.integer("axis", 0) % len(shape)
    positions = operands.as_tensor(np.where(indices < 0, indices + shape[axis], indices).flatten().astype(np.int64))
    output = operands.output_shape
    return lambda x: torch.index_select(x, axis, positions).reshape(output)


def pad(operands: Operands) -> Function:
    """Pad by a constant, the edge, a reflection or the other end; negative pads crop."""
    shape = operands.shape(0)
    rank = len(shape)
    if operands.node.since_version < 11:
        pads, value, axes = operands.integers("pads") or (), operands.number("value", 0.0), None
    else:
        pads, axes = operands.integers_at(1) or (), operands.integers_at(3)
        fill = operands.static(2)
        value = 0.0 if fill is None or fill.size == 0 else float(fill.item())
    axes = tuple(range(rank)) if axes is None else axes
    begin, end = [0] * rank, [0] * rank
    for position, axis in enumerate(axes):
        begin[axis], end[axis] = pads[position], pads[position + len(axes)]
    mode = operands.text("mode", "constant")
    if mode == "constant":
        lengths = torch_pads(begin, end)
        return lambda x: functional.pad(x, lengths, value=value)
    return _selecting(operands, {axis: _padded(operands, axis, begin[axis], end[axis], mode) for axis in range(rank)})


def _padded(operands: Operands, axis: int, begin: int, end: int, mode: str) -> np.ndarray:
    """The positions along an axis that a padded tensor repeats."""
    numpy_mode = {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}.get(mode)
    if numpy_mode is None:
        raise operands.unsupported(f"it pads in mode '{mode}'")
    positions = np.arange(operands.shape(0)[axis])
    positions = positions[max(-begin, 0) : len(positions) - max(-end, 0)]
    return np.pad(positions, (max(begin, 0), max(end, 0)), mode=numpy_mode)  # type: ignore[call-overload]


def depth_to_space(operands: Operands) -> Function:
    """DepthToSpace, in DCR or CRD order."""
    block, (count, channels, height, width) = operands.integer("blocksize", 1), operands.shape(0)
    depth, output = channels // block**2, operands.output_shape
    if operands.text("mode", "DCR") == "DCR":
        parts, order = (count, block, block, depth, height, width), (0, 3, 4, 1, 5, 2)
    else:
        parts, order = (count, depth, block, block, height, width), (0, 1, 4, 2, 5, 3)
    return lambda x: x.reshape(parts).permute(order).reshape(output)


def space_to_depth(operands: Operands) -> Function:
    """SpaceToDepth, in DCR or CRD order."""
    block, (count, channels, height, width) = operands.integer("blocksize", 1), operands.shape(0)
    parts, output = (count, channels, height // block, block, width // block, block), operands.output_shape
    order = (0, 3, 5, 1, 2, 4) if operands.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return lambda x: x.reshape(parts).permute(order).reshape(output)


def trilu(operands: Operands) -> Function:
    """Trilu: the upper or the lower triangle."""
    diagonal = (operands.integers_at(1) or (0,))[0]
    triangle = torch.triu if operands.integer("upper", 1) else torch.tril
    return lambda x: triangle(x, diagonal)


ROWS = (
    *(OperatorRow(op, Kind.SHAPE, reshape) for op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")),
    OperatorRow("Identity", Kind.SHAPE, identity),
    OperatorRow("Dropout", Kind.SHAPE, dropout),
    OperatorRow("Transpose", Kind.SHAPE, transpose),
    OperatorRow("Expand", Kind.SHAPE, expand),
    OperatorRow("Tile", Kind.SHAPE, tile, since=6),
    OperatorRow("Concat", Kind.AFFINE, concat),
    OperatorRow("Split", Kind.SHAPE, split),
    OperatorRow("Slice", Kind.SHAPE, slice_),
    OperatorRow("Gather", Kind.SHAPE, gather),
    OperatorRow("Pad", Kind.AFFINE, pad),
    OperatorRow("DepthToSpace", Kind.SHAPE, depth_to_space),
    OperatorRow("SpaceToDepth", Kind.SHAPE, space_to_depth),
    OperatorRow("Trilu", Kind.AFFINE, trilu),
)
