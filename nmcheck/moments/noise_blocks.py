"""Noise in blocks: the same vectors for a seed, whatever the batches they are used in."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from nmcheck.moments.gaussian import GaussianInput

BLOCK = 64
"""Noise vectors drawn by one call: the same noise whatever the batches."""

LEAST_SINGLE = 64
"""Directions from which on normals are drawn in single precision, which is five times faster; those of torch end at
5.77 standard deviations, which with fewer directions would be missed."""


def noise_blocks(x: GaussianInput, vectors: int, seed: int, batch_size: int) -> Iterator[Float[Tensor, "_ n"]]:
    """``vectors`` noise vectors in batches, of the type and device of the input's mean."""
    generator = torch.Generator().manual_seed(seed)
    few = x.structure.directions(x.mean.numel()) < LEAST_SINGLE
    dtype = torch.float64 if few else torch.float32
    waiting: list[Tensor] = []
    for start in range(0, vectors, BLOCK):
        block = x.structure.numbers(BLOCK, x.mean.numel(), generator, dtype)[: vectors - start]
        # The last block is drawn whole, too: a call for fewer vectors would fill them in another order.
        waiting.append(block)
        held = sum(len(one) for one in waiting)
        last = start + BLOCK >= vectors
        if held >= batch_size or last:
            rows = torch.cat(waiting)
            whole = held if last else held - held % batch_size
            for part in rows[:whole].split(batch_size):
                yield (float(x.sigma) * x.structure.noise(part.to(x.mean))).to(x.mean)
            waiting = [rows[whole:]] if whole < held else []
