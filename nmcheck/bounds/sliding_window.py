"""Geometry of convolution and pooling windows, as ONNX defines it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nmcheck.graph.ir import Node


@dataclass(frozen=True)
class SlidingWindow:
    """Windows over one or more spatial axes; every tuple has an entry per axis.

    Attributes:
        input_size: pixels of the unpadded input.
        output_size: number of windows.
        kernel: taps of the window.
        strides: steps between windows.
        dilations: steps between taps.
        pads_begin: padding in front; negative where the input is cropped.
        pads_end: padding behind.
    """

    input_size: tuple[int, ...]
    output_size: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_begin: tuple[int, ...]
    pads_end: tuple[int, ...]

    @property
    def extents(self) -> tuple[int, ...]:
        """Pixels a window spans: d (k - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def padded_size(self) -> tuple[int, ...]:
        """Pixels of the padded input."""
        sizes = zip(self.input_size, self.pads_begin, self.pads_end, strict=True)
        return tuple(size + begin + end for size, begin, end in sizes)

    def taps(self, axis: int) -> Int[np.ndarray, "windows taps"]:
        """Pixel that every tap of every window reads along ``axis``; outside [0, input size) it reads padding."""
        first = np.arange(self.output_size[axis]) * self.strides[axis] - self.pads_begin[axis]
        return first[:, None] + self.dilations[axis] * np.arange(self.kernel[axis])

    def multiplicity(self) -> int:
        """The largest number of windows that read one and the same pixel."""
        return math.prod(self._axis_multiplicity(axis) for axis in range(len(self.kernel)))

    def _axis_multiplicity(self, axis: int) -> int:
        size, taps = self.input_size[axis], self.taps(axis)
        inside = taps[(taps >= 0) & (taps < size)]
        return int(np.bincount(inside, minlength=1).max())

    def averaging_matrix(self, axis: int, includes_padding: bool) -> Float[np.ndarray, "windows pixels"]:
        """The linear map of average pooling along one axis; over several axes it is their Kronecker product.

        A window is divided by the number of its taps inside the input or, with ``includes_padding``, inside the padded
        input; the taps that ceil_mode lets hang over the padding are never counted. Where a runtime counts those too,
        its map is entrywise smaller, and so is its norm.
        """
        size, taps = self.input_size[axis], self.taps(axis)
        inside = (taps >= 0) & (taps < size)
        begin, end = self.pads_begin[axis], self.pads_end[axis]
        counted = (taps >= -begin) & (taps < size + end) if includes_padding else inside
        matrix = np.zeros((len(taps), size))
        windows = np.broadcast_to(np.arange(len(taps))[:, None], taps.shape)
        weights = np.broadcast_to(1.0 / np.maximum(counted.sum(axis=1), 1)[:, None], taps.shape)
        np.add.at(matrix, (windows[inside], taps[inside]), weights[inside])
        return matrix


def window_of(
    node: Node, input_size: Sequence[int], output_size: Sequence[int], kernel: Sequence[int]
) -> SlidingWindow:
    """The windows of a Conv or pooling node; ``auto_pad`` is resolved from the sizes.

    Args:
        node: the node whose attributes give strides, dilations and pads.
        input_size: spatial part of the input's shape.
        output_size: spatial part of the output's shape, as shape inference gave it.
        kernel: spatial part of the window.
    """
    axes = len(kernel)
    strides = integers(node, "strides", (1,) * axes)
    dilations = integers(node, "dilations", (1,) * axes)
    pads = integers(node, "pads", (0,) * (2 * axes))
    begin, end = pads[:axes], pads[axes:]
    auto_pad = node.attributes.get("auto_pad", "NOTSET")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        # As execute.windows has it: only a pooling's padding may be negative, and halves are rounded toward zero.
        least = -math.inf if node.op.endswith("Pool") else 0
        totals = [
            max((out - 1) * s + d * (k - 1) + 1 - size, least)
            for size, out, k, s, d in zip(input_size, output_size, kernel, strides, dilations, strict=True)
        ]
        lower = auto_pad == "SAME_LOWER"
        begin = tuple(int((total + lower) / 2) for total in totals)
        end = tuple(int(total) - half for total, half in zip(totals, begin, strict=True))
    elif auto_pad == "VALID":
        begin = end = (0,) * axes
    return SlidingWindow(
        tuple(input_size), tuple(output_size), tuple(kernel), strides, dilations, tuple(begin), tuple(end)
    )


def integers(node: Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """An attribute that lists integers."""
    value = node.attributes.get(name, default)
    if not isinstance(value, tuple):
        raise TypeError(f"{node.name}: attribute {name} is {value!r}, not a list of integers")
    return tuple(int(entry) for entry in value)


def number(node: Node, name: str, default: int | float) -> float:
    """An attribute that is one number."""
    value = node.attributes.get(name, default)
    if not isinstance(value, int | float):
        raise TypeError(f"{node.name}: attribute {name} is {value!r}, not a number")
    return float(value)
