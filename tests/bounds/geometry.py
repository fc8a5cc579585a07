"""Random convolutions and their matrices, written out by torch itself."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from nmcheck.bounds.convolution import Convolution, convolution_of
from nmcheck.graph.ir import Node


@dataclass(frozen=True)
class RandomConvolution:
    """A Conv or ConvTranspose node and its matrix as torch has it, by rows of inputs."""

    convolution: Convolution
    matrix: Tensor
    ample: bool
    """Whether the input is at least three times the dilated kernel along every axis."""


def random_convolution(seed: int, axes: int = 2, largest: int = 20) -> RandomConvolution:
    pick = random.Random(seed)
    transposed = pick.random() < 0.3
    while True:
        groups = pick.choice([1, 1, 2, 3])
        inputs, outputs = groups * pick.randint(1, 3), groups * pick.randint(1, 3)
        size = [pick.randint(2, largest) for _ in range(axes)]
        kernel = [pick.randint(1, 5) for _ in range(axes)]
        strides = [pick.randint(1, 3) for _ in range(axes)]
        dilations = [pick.randint(1, 3) for _ in range(axes)]
        pads = [pick.randint(0, 3) for _ in range(2 * axes)]
        extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
        extra = [pick.randrange(stride) for stride in strides]
        if transposed:
            size = [max(2, side // stride) for side, stride in zip(size, strides, strict=True)]
        image = size if not transposed else [
            (side - 1) * s + e + x - pads[k] - pads[axes + k]
            for k, (side, s, e, x) in enumerate(zip(size, strides, extents, extra, strict=True))
        ]  # fmt: skip
        if transposed and min(image) >= 1:
            output = image
            break
        output = [
            (side + pads[k] + pads[axes + k] - e) // s + 1
            for k, (side, s, e) in enumerate(zip(size, strides, extents, strict=True))
        ]
        if not transposed and min(output) >= 1:
            break
    generator = torch.Generator().manual_seed(seed)
    shape = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
    weight = torch.randn((*shape, *kernel), generator=generator, dtype=torch.float64)
    if pick.random() < 0.3:
        weight = weight.abs()
    attributes = {
        "strides": tuple(strides), "dilations": tuple(dilations), "pads": tuple(pads), "group": groups,
        **({"output_padding": tuple(extra)} if transposed else {}),
    }  # fmt: skip
    node = Node("c", "ConvTranspose" if transposed else "Conv", "", 11, ("x", "w"), ("y",), attributes, 0)
    convolution = convolution_of(node, weight, (1, inputs, *size), (1, outputs, *output))
    entries = inputs * math.prod(size)
    seeds = torch.eye(entries, dtype=torch.float64).reshape(entries, inputs, *size)
    crop = [pad for k in reversed(range(axes)) for pad in (pads[k], pads[axes + k])]
    if transposed:
        transpose = {1: torch.nn.functional.conv_transpose1d, 2: torch.nn.functional.conv_transpose2d}[axes]
        full = transpose(seeds, weight, stride=strides, dilation=dilations, groups=groups)
        # Output padding adds zeros behind, pads cut both ends.
        grown = [pad for k in reversed(range(axes)) for pad in (0, extra[k])]
        result = torch.nn.functional.pad(torch.nn.functional.pad(full, grown), [-pad for pad in crop])
    else:
        convolve = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d}[axes]
        padded = torch.nn.functional.pad(seeds, crop)
        result = convolve(padded, weight, stride=strides, dilation=dilations, groups=groups)
    assert tuple(result.shape[1:]) == (outputs, *output)
    ample = all(side >= 3 * extent for side, extent in zip(image if transposed else size, extents, strict=True))
    return RandomConvolution(convolution, result.flatten(1), ample)
