"""Sliding windows of convolutions and poolings: strides, dilations and padding resolved to numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nmcheck.execute.operands import Operands

_LONGEST_STEP = 2**15 - 1
"""torch's transposed convolution ends the process with a segmentation fault for a batch and a longer stride."""


@dataclass(frozen=True)
class Window:
    """One entry an axis, spatial axes only.

    Attributes:
        kernel: taps.
        strides: steps between windows.
        dilations: steps between taps.
        begin: padding in front.
        end: padding behind.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]

    @property
    def extents(self) -> tuple[int, ...]:
        """Length each window spans, d (k - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def reaching(self, sizes: Sequence[int], outputs: Sequence[int]) -> tuple[int, ...]:
        """Padding behind that makes room for exactly ``outputs`` windows, negative where the input is too long."""
        axes = zip(sizes, outputs, self.strides, self.extents, self.begin, strict=True)
        return tuple((out - 1) * s + extent - size - begin for size, out, s, extent, begin in axes)


def window_of(operands: Operands, kernel: tuple[int, ...]) -> Window:
    """The windows of a Conv or pooling node.

    With ``auto_pad`` SAME the output has ceil(size / stride) windows and an odd padding goes behind (UPPER) or in front
    (LOWER).

    Where the stride exceeds the window, ONNX's formula for the padding is negative: a pooling then starts behind the
    input's first pixels, a convolution does not.

    Raises:
        UnsupportedError: there are no or more than three spatial axes.
        ModelError: the attributes do not fit the number of axes.
    """
    sizes = operands.shape(0)[2:]
    axes = len(sizes)
    if axes not in (1, 2, 3):
        raise operands.unsupported(f"it works on {axes} spatial axes")
    strides = operands.integers("strides") or (1,) * axes
    dilations = operands.integers("dilations") or (1,) * axes
    pads = operands.integers("pads") or (0,) * (2 * axes)
    if not len(kernel) == len(strides) == len(dilations) == axes or len(pads) != 2 * axes:
        raise operands.invalid(f"kernel, strides, dilations or pads do not fit {axes} spatial axes")
    if min(*kernel, *strides, *dilations) < 1:
        raise operands.invalid("kernel, strides and dilations must be positive")
    if max(*strides, *dilations) > _LONGEST_STEP:
        raise operands.unsupported(f"its strides {strides} or dilations {dilations} go beyond {_LONGEST_STEP}")
    window = Window(kernel, strides, dilations, pads[:axes], pads[axes:])
    auto_pad = operands.text("auto_pad", "NOTSET")
    if auto_pad == "VALID":
        return Window(kernel, strides, dilations, (0,) * axes, (0,) * axes)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        least = -math.inf if operands.node.op.endswith("Pool") else 0
        totals = [
            max((-(-size // s) - 1) * s + extent - size, least)
            for size, s, extent in zip(sizes, strides, window.extents, strict=True)
        ]
        # Halves are rounded toward zero, as onnxruntime does, which matters where the padding is negative.
        lower = auto_pad == "SAME_LOWER"
        begin = tuple(int((total + lower) / 2) for total in totals)
        end = tuple(int(total) - half for total, half in zip(totals, begin, strict=True))
        return Window(kernel, strides, dilations, begin, end)
    return window


def torch_pads(begin: Sequence[int], end: Sequence[int]) -> list[int]:
    """Padding in torch's order: the last axis first, in front and behind."""
    return [length for pair in zip(reversed(begin), reversed(end), strict=True) for length in pair]
