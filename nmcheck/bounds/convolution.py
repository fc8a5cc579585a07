"""A convolution as a linear operator, with the scales of its channels folded in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float

from nmcheck.bounds.sliding_window import SlidingWindow, integers, number, window_of
from nmcheck.execute.on_demand import Tensor, torch
from nmcheck.graph.ir import Node

_CONVOLVE = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}
_TRANSPOSE = {
    1: torch.nn.functional.conv_transpose1d,
    2: torch.nn.functional.conv_transpose2d,
    3: torch.nn.functional.conv_transpose3d,
}


@dataclass(frozen=True)
class Convolution:
    """A zero-padded convolution, or the adjoint of one: a ConvTranspose. Both have the same norm.

    Attributes:
        weight: kernel of the convolution, (channels out, channels in per group, *kernel).
        window: its geometry.
        groups: channel groups.
        is_adjoint: the layer is the adjoint; its inputs are then the convolution's outputs.
    """

    weight: Float[Tensor, "out in_group *kernel"]
    window: SlidingWindow
    groups: int
    is_adjoint: bool

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of what the convolution reads: (channels, *pixels)."""
        return (self.weight.shape[1] * self.groups, *self.window.input_size)

    @property
    def codomain(self) -> tuple[int, ...]:
        """Shape of what the convolution writes."""
        return (self.weight.shape[0], *self.window.output_size)

    def apply(self, x: Float[Tensor, "batch channels *pixels"]) -> Float[Tensor, "batch out *windows"]:
        """The convolution."""
        window = self.window
        pads = [pad for axis in zip(window.pads_begin, window.pads_end, strict=True) for pad in axis]
        # F.pad lists the last axis first.
        pads = [pad for axis in range(len(pads) - 2, -1, -2) for pad in pads[axis : axis + 2]]
        padded = torch.nn.functional.pad(x, pads)
        result = _CONVOLVE[len(window.kernel)](
            padded, self.weight, stride=window.strides, dilation=window.dilations, groups=self.groups
        )
        # More windows than the layer has can fit where a transposed convolution pads its output.
        return result[(..., *(slice(size) for size in window.output_size))]

    def adjoint(self, y: Float[Tensor, "batch out *windows"]) -> Float[Tensor, "batch channels *pixels"]:
        """The transposed map."""
        window = self.window
        full = _TRANSPOSE[len(window.kernel)](
            y, self.weight, stride=window.strides, dilation=window.dilations, groups=self.groups
        )
        crop = []
        for begin, size, reached in zip(window.pads_begin, window.input_size, full.shape[2:], strict=True):
            crop = [-begin, begin + size - reached, *crop]
        return torch.nn.functional.pad(full, crop)

    def scaled(self, before: Float[Tensor, " inputs"] | None, after: Float[Tensor, " outputs"] | None) -> Convolution:
        """The layer with its input channels multiplied by ``before`` and its output channels by ``after``.

        For an adjoint, inputs and outputs are the layer's own, not the convolution's.
        """
        rows, columns = (before, after) if self.is_adjoint else (after, before)
        weight = self.weight
        ones = [1] * len(self.window.kernel)
        if rows is not None:
            weight = weight * rows.reshape(-1, 1, *ones)
        if columns is not None:
            per_group = columns.reshape(self.groups, 1, -1, *ones)
            grouped = weight.reshape(self.groups, -1, *weight.shape[1:])
            weight = (grouped * per_group).reshape(weight.shape)
        return replace(self, weight=weight)

    def absolute(self) -> Convolution:
        """The convolution with |W|: row and column sums of it bound the norm."""
        return replace(self, weight=self.weight.abs())

    def matrix(self) -> Float[Tensor, "small large"]:
        """The operator as a matrix, one row per element of its smaller side."""
        domain, codomain = math.prod(self.domain), math.prod(self.codomain)
        if domain <= codomain:
            images = self.apply(torch.eye(domain, dtype=self.weight.dtype).reshape(domain, *self.domain))
        else:
            images = self.adjoint(torch.eye(codomain, dtype=self.weight.dtype).reshape(codomain, *self.codomain))
        return images.flatten(1)


def convolution_of(
    node: Node, weight: Float[Tensor, "first second *kernel"], input_shape: Sequence[int], output_shape: Sequence[int]
) -> Convolution:
    """The operator of a Conv or ConvTranspose node.

    Args:
        node: the node.
        weight: its weight, as stored.
        input_shape: shape of its input, with the batch axis.
        output_shape: shape of its output.
    """
    groups = int(number(node, "group", 1))
    kernel = tuple(weight.shape[2:])
    if node.op == "Conv":
        return Convolution(weight, window_of(node, input_shape[2:], output_shape[2:], kernel), groups, False)
    # Its adjoint is the convolution that reads the larger image; padding crops what the kernels write.
    begins, ends = _transpose_pads(node, kernel, input_shape[2:], output_shape[2:])
    window = SlidingWindow(
        tuple(output_shape[2:]),
        tuple(input_shape[2:]),
        kernel,
        integers(node, "strides", (1,) * len(kernel)),
        integers(node, "dilations", (1,) * len(kernel)),
        tuple(begins),
        tuple(ends),
    )
    return Convolution(weight, window, groups, True)


def _transpose_pads(
    node: Node, kernel: Sequence[int], input_size: Sequence[int], output_size: Sequence[int]
) -> tuple[list[int], list[int]]:
    """What ConvTranspose cuts off its full image in front and behind; negative where it adds zeros."""
    axes = len(kernel)
    strides, dilations = integers(node, "strides", (1,) * axes), integers(node, "dilations", (1,) * axes)
    auto_pad = node.attributes.get("auto_pad", "NOTSET")
    pads = integers(node, "pads", (0,) * (2 * axes))
    begins, ends = [], []
    for axis in range(axes):
        full = (input_size[axis] - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
        cut = full - output_size[axis]
        if "output_shape" in node.attributes or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            # ONNX measures the cut with the output padding included, and that padding stands behind.
            extra = integers(node, "output_padding", (0,) * axes)[axis]
            total = cut + extra
            begin = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
        else:
            begin = pads[axis]
        begins.append(begin)
        ends.append(cut - begin)
    return begins, ends
