"""Certified upper bounds of a convolution's operator norm; the smallest is kept.

Theorem 5.1 of the thesis divides by ||W||_F, which is below the norm as soon as windows overlap (docs/errata.md).
"""

from __future__ import annotations

import itertools
import math

from jaxtyping import Float

from nmcheck.bounds.convolution import Convolution
from nmcheck.bounds.dense import spectral_norm
from nmcheck.bounds.norm_bound import NormBound
from nmcheck.bounds.rounding import rounded_up
from nmcheck.execute.on_demand import Tensor, torch

EXACT_SIDE = 1024
"""The exact norm is taken where the smaller side of the matrix has at most so many elements ..."""

EXACT_ENTRIES = 2**24
"""... and the matrix at most so many entries (128 MiB)."""

_CHUNK_ENTRIES = 2**21
"""Entries of the frequency responses held at a time."""


def has_exact_norm(inputs: int, outputs: int) -> bool:
    """Whether an operator of that size is small enough for its exact norm."""
    return min(inputs, outputs) <= EXACT_SIDE and inputs * outputs <= EXACT_ENTRIES


def convolution_bound(convolution: Convolution) -> NormBound:
    """The smallest of the bounds available at a reasonable cost."""
    if not torch.isfinite(convolution.weight).all():
        return NormBound(math.inf, "weights that are not finite")
    if has_exact_norm(math.prod(convolution.domain), math.prod(convolution.codomain)):
        return NormBound(rounded_up(spectral_norm(convolution.matrix())), "exact SVD")
    return analytic_bound(convolution)


def analytic_bound(convolution: Convolution) -> NormBound:
    """The smallest of the three bounds that need no matrix of the whole operator."""
    candidates = (
        (fourier_bound(convolution), "Fourier on a torus"),
        (row_column_bound(convolution), "row and column sums"),
        (frobenius_bound(convolution), "Frobenius norm with overlap"),
    )
    value, method = min(candidates)
    return NormBound(rounded_up(value), method)


def fourier_bound(convolution: Convolution) -> float:
    """The norm of the circular convolution on a torus of at least the padded input's size.

    Padding with zeros and dropping outputs makes the layer a sub-operator of the circular one, whose norm is the
    largest singular value over the frequencies. A stride s turns every axis into s times as many channels (space to
    depth of kernel and grid), a dilation into zeros in the kernel. Per axis, with P pixels after padding and a dilated
    kernel of k_eff: blocks K' = ceil(k_eff / s), torus N = ceil(P / s). A torus of the unpadded size would not be an
    upper bound.
    """
    window = convolution.window
    axes = range(len(window.kernel))
    blocks = [math.ceil(extent / stride) for extent, stride in zip(window.extents, window.strides, strict=True)]
    torus = [_torus_size(convolution, axis) for axis in axes]
    response = _space_to_depth(convolution, blocks)
    # (groups, out, in * phases, blocks): the frequency response is a matrix for every frequency and group.
    entries = response.shape[0] * response.shape[1] * response.shape[2]
    positions = torch.tensor(list(itertools.product(*(range(block) for block in blocks))), dtype=torch.float64)
    # A real kernel has conjugate responses at opposite frequencies: half of the last axis is enough.
    counts = [*torus[:-1], torus[-1] // 2 + 1]
    frequencies = torch.tensor(list(itertools.product(*(range(count) for count in counts))), dtype=torch.float64)
    angles = -2 * math.pi * frequencies / torch.tensor(torus, dtype=torch.float64)
    largest = 0.0
    for chunk in angles.split(max(1, _CHUNK_ENTRIES // entries)):
        phases = chunk @ positions.mT
        waves = torch.complex(phases.cos(), phases.sin())
        matrices = torch.einsum("gock,fk->fgoc", response.to(torch.complex128), waves)
        largest = max(largest, _largest_singular_value(matrices))
    return largest


def _torus_size(convolution: Convolution, axis: int) -> int:
    window = convolution.window
    stride, extent = window.strides[axis], window.extents[axis]
    if convolution.is_adjoint:
        # What a transposed convolution writes before it is cropped.
        return math.ceil(((window.output_size[axis] - 1) * stride + extent) / stride)
    return math.ceil(max(window.padded_size[axis], extent) / stride)


def _space_to_depth(convolution: Convolution, blocks: list[int]) -> Float[Tensor, "groups out channels blocks"]:
    """The dilated kernel cut into blocks of one stride, the pixels of a block made channels."""
    window, groups, weight = convolution.window, convolution.groups, convolution.weight
    lengths = [block * stride for block, stride in zip(blocks, window.strides, strict=True)]
    out, channels = weight.shape[:2]
    dilated = weight.new_zeros((out, channels, *lengths))
    taps = tuple(slice(0, extent, d) for extent, d in zip(window.extents, window.dilations, strict=True))
    dilated[(slice(None), slice(None), *taps)] = weight
    axes = len(blocks)
    pairs = [size for block, stride in zip(blocks, window.strides, strict=True) for size in (block, stride)]
    cut = dilated.reshape(groups, out // groups, channels, *pairs)
    # Bring the phases (every second axis) next to the channels and the blocks to the end.
    order = [0, 1, 2, *(4 + 2 * axis for axis in range(axes)), *(3 + 2 * axis for axis in range(axes))]
    return cut.permute(order).reshape(groups, out // groups, channels * math.prod(window.strides), math.prod(blocks))


def _largest_singular_value(matrices: Tensor) -> float:
    if 1 in matrices.shape[-2:]:
        return torch.linalg.vector_norm(matrices, dim=(-2, -1)).max().item()
    return torch.linalg.svdvals(matrices)[..., 0].max().item()


def row_column_bound(convolution: Convolution) -> float:
    """sqrt(||A||_1 ||A||_inf) of the real operator: its row and column sums are |W| applied to ones."""
    absolute = convolution.absolute()
    dtype = convolution.weight.dtype
    rows = absolute.apply(torch.ones((1, *convolution.domain), dtype=dtype)).max().item()
    columns = absolute.adjoint(torch.ones((1, *convolution.codomain), dtype=dtype)).max().item()
    return math.sqrt(rows * columns)


def frobenius_bound(convolution: Convolution) -> float:
    """||W||_F sqrt(overlap): Theorem 5.1 with the number of windows that read one pixel put in.

    Each window's output is at most ||W||_F times what the window reads, and a pixel is read by at most
    prod ceil(k_eff / s) windows (and no more than there are taps).
    """
    grouped = convolution.weight.reshape(convolution.groups, -1)
    norm = torch.linalg.vector_norm(grouped, dim=1).max().item()
    return norm * math.sqrt(convolution.window.multiplicity())
