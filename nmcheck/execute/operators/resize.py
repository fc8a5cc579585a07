"""Resize and Upsample: along each axis a known matrix of weights, with one entry a row for the nearest pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nmcheck.execute.on_demand import Tensor, torch
from nmcheck.execute.operands import Function, Operands
from nmcheck.execute.row import Kind, OperatorRow

_NEAREST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def resize(operands: Operands) -> Function:
    """Resize and Upsample to the nearest or by linear interpolation.

    Raises:
        UnsupportedError: for cubic interpolation, antialiasing and crops.
    """
    mode = operands.text("mode", "nearest")
    if mode not in ("nearest", "linear") or operands.integer("antialias", 0):
        raise operands.unsupported(
            f"it interpolates in mode '{mode}'{' with antialiasing' if mode == 'linear' else ''}"
        )
    inputs, outputs = operands.shape(0), operands.output_shape
    scales = _scales(operands)
    steps = []
    for axis, (size, output) in enumerate(zip(inputs, outputs, strict=True)):
        if size == output and scales[axis] == 1:
            continue
        positions = _source_positions(operands, size, output, scales[axis])
        if mode == "nearest":
            rounding = _NEAREST[_nearest_mode(operands)]
            nearest = np.clip(rounding(positions), 0, size - 1).astype(np.int64)
            steps.append((axis, operands.as_tensor(nearest), None))
        else:
            low = np.clip(np.floor(positions), 0, size - 1).astype(np.int64)
            high = np.clip(low + 1, 0, size - 1)
            weight = np.clip(positions - low, 0.0, 1.0).reshape(-1, *(1,) * (len(inputs) - axis - 1))
            steps.append((axis, operands.as_tensor(low), (operands.as_tensor(high), operands.as_tensor(weight))))

    def apply(x: Tensor) -> Tensor:
        for axis, low, between in steps:
            picked = torch.index_select(x, axis, low)
            if between is not None:
                high, weight = between
                picked = picked * (1 - weight) + torch.index_select(x, axis, high) * weight
            x = picked
        return x

    return apply


def _nearest_mode(operands: Operands) -> str:
    legacy = operands.node.op == "Upsample" or operands.node.since_version < 11
    return "floor" if legacy else operands.text("nearest_mode", "round_prefer_floor")


def _scales(operands: Operands) -> list[float]:
    """The scale of every axis: as the file gives it, else by the ratio of the sizes."""
    inputs, outputs = operands.shape(0), operands.output_shape
    ratios = [output / size for size, output in zip(inputs, outputs, strict=True)]
    if operands.node.op == "Upsample" and operands.node.since_version < 9:
        given = operands.node.attributes.get("scales")
        return [float(scale) for scale in given] if isinstance(given, tuple) else ratios
    legacy = operands.node.op == "Upsample" or operands.node.since_version < 11
    static = operands.static(1 if legacy else 2)
    if static is None or static.size == 0:
        return ratios
    axes = operands.integers("axes") or tuple(range(len(inputs)))
    for axis, scale in zip(axes, static.flat, strict=True):
        ratios[axis] = float(scale)
    return ratios


def _source_positions(operands: Operands, size: int, output: int, scale: float) -> np.ndarray:
    """Where in the input each output pixel lies."""
    legacy = operands.node.op == "Upsample" or operands.node.since_version < 11
    mode = "asymmetric" if legacy else operands.text("coordinate_transformation_mode", "half_pixel")
    x = np.arange(output, dtype=np.float64)
    if mode == "asymmetric":
        return x / scale
    if mode == "align_corners":
        return x * (size - 1) / max(output - 1, 1)
    if mode == "half_pixel":
        return (x + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (x + 0.5) / scale - 0.5 if output > 1 else np.zeros(1)
    if mode == "half_pixel_symmetric":
        centre = size / 2 * (1 - output / (scale * size))
        return centre + (x + 0.5) / scale - 0.5
    raise operands.unsupported(f"its coordinates are transformed in mode '{mode}'")


ROWS = (OperatorRow("Resize", Kind.AFFINE, resize, since=10), OperatorRow("Upsample", Kind.AFFINE, resize))
