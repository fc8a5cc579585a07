"""The fastest way to a bank's numbers on this machine, found by timing a chunk of rows each way."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch

from nmcheck.checks.bank_options import BankOptions
from nmcheck.checks.case import Case
from nmcheck.linearize.bank.cost import Sizes, holds_matrix, memory
from nmcheck.linearize.bank.header import Arithmetic
from nmcheck.linearize.bank.make import PointMaker

CHUNKS = (32, 128, 512)


def timed_arithmetic(case: Case, options: BankOptions, maker: PointMaker, sizes: Sizes) -> tuple[Arithmetic, float]:
    """What to compute with, and the seconds a point then takes.

    The kernels and the way through the affine part are timed with the smallest chunk, and then the chunks with the
    fastest of these. Chunks that would not fit in the memory allowed are left out.

    Returns:
        The arithmetic, and the seconds that a point's rows take.
    """
    center = case.pixels[0].ravel()
    storage = options.storage
    points = options.averaging_points if options.linearizer == "averaged" else 1
    chunks = _chunks(options, sizes)
    kernels = ("onednn", "native") if options.kernels == "auto" else (options.kernels,)
    # Kernels that are asked for by name are a wish for the same numbers again, which the clock must not decide.
    by_time = (True, False) if options.kernels == "auto" else (True,)
    heads = (False,) if maker.rows.sparse_head is None else by_time
    ways = [
        Arithmetic(
            kernels="onednn" if kernel == "onednn" else "native",
            sparse_head=head,
            chunk=chunks[0],
            holds_matrix=holds_matrix(sizes, storage, chunks[0], options.memory),
            threads=1,
            torch=torch.__version__,
        )
        for kernel, head in product(kernels, heads)
    ]
    timed = {way: maker.time_rows(way, center) for way in ways}
    best = min(timed, key=lambda way: timed[way])
    for chunk in chunks[1:]:
        way = replace(best, chunk=chunk, holds_matrix=holds_matrix(sizes, storage, chunk, options.memory))
        timed[way] = maker.time_rows(way, center)
    best = min(timed, key=lambda way: timed[way])
    seconds = points * timed[best] * sizes.p
    if not best.holds_matrix:
        # The random projection: four passes of its directions beside the rows.
        seconds += 4 * points * timed[best] * (storage.rank + 8)
    return best, seconds


def _chunks(options: BankOptions, sizes: Sizes) -> list[int]:
    """Sizes to try, none larger than p."""
    if options.chunk is not None:
        return [min(options.chunk, sizes.p)]
    wanted = sorted({min(chunk, sizes.p) for chunk in CHUNKS})
    fitting = [
        chunk
        for chunk in wanted
        if memory(sizes, options.storage, chunk, holds_matrix=options.storage.kind != "low-rank") <= options.memory
    ]
    return fitting or [1]
