"""Which elements an operator's output elements read: windows along the last two axes, and the taps of a pooling."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from torch import Tensor
from torch.nn import functional

from nmcheck.execute.operands import Operands
from nmcheck.execute.windows import Window, torch_pads, window_of
from nmcheck.steps import Locality

FAR_BELOW = -1e30
"""Stands for a tap in the padding: below every value, and finite in float32, so that differences stay numbers."""

POINTWISE = Locality((1, 1), (1, 1), (0, 0))
_ELEMENTWISE = frozenset(
    [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Neg",
        "Sum",
        "Mean",
        "Where",
        "BatchNormalization",
        "Cast",
        "CastLike",
        "Dropout",
        "Identity",
        "Max",
        "Min",
        "Pow",
        "LRN",
    ]
)
"""Operators that read, for each element, elements at the same position only."""
_WINDOWED = ("Conv", "AveragePool", "MaxPool", "LpPool")


def locality(operands: Operands) -> Locality | None:
    """How far each output element sees along the last two axes; None where that is no window of fixed size."""
    node, graph = operands.node, operands.graph
    output = operands.output_shape
    live = [graph.shapes[name] for name in graph.live_inputs(node)]
    if node.domain or len(output) < 3 or any(len(shape) != len(output) for shape in live):
        return None
    if node.op in _WINDOWED and len(output) == 4:
        window = _window(operands)
        return Locality(_two(window.extents), _two(window.strides), _two(window.begin))
    aligned = all(shape[-2:] == output[-2:] for shape in live)
    if node.op in _ELEMENTWISE and aligned:
        return POINTWISE
    if node.op == "Concat" and aligned and operands.integer("axis", 1) % len(output) < len(output) - 2:
        return POINTWISE
    return None


def pooling_taps(operands: Operands) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """The taps of a MaxPool, each of the output's shape."""
    window = _window(operands)
    outputs = operands.output_shape[2:]
    end = window.reaching(operands.shape(0)[2:], outputs)
    pads = torch_pads(window.begin, end)
    slices = [
        tuple(
            slice(tap * dilation, tap * dilation + (out - 1) * stride + 1, stride)
            for tap, dilation, out, stride in zip(taps, window.dilations, outputs, window.strides, strict=True)
        )
        for taps in product(*(range(count) for count in window.kernel))
    ]

    def taps(x: Tensor) -> tuple[Tensor, ...]:
        padded = functional.pad(x, pads, value=FAR_BELOW) if any(pads) else x
        return tuple(padded[(..., *each)] for each in slices)

    return taps


def tap_counts(operands: Operands) -> np.ndarray:
    """How many taps of each window of a pooling lie in its input, not in the padding; of the output's spatial shape."""
    window = _window(operands)
    counts = np.ones(())
    for axis, (size, output) in enumerate(zip(operands.shape(0)[2:], operands.output_shape[2:], strict=True)):
        first = np.arange(output) * window.strides[axis] - window.begin[axis]
        taps = first[:, None] + window.dilations[axis] * np.arange(window.kernel[axis])
        counts = counts[..., None] * ((taps >= 0) & (taps < size)).sum(axis=1)
    return counts


def _window(operands: Operands) -> Window:
    kernel = operands.shape(1)[2:] if operands.node.op == "Conv" else operands.integers("kernel_shape") or ()
    return window_of(operands, tuple(kernel))


def _two(values: tuple[int, ...]) -> tuple[int, int]:
    return values[0], values[1]
