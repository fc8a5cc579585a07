"""Which images are analysed: a stated, deterministic choice."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from nmcheck.data.dataset import Dataset
from nmcheck.errors import UsageError


def select(dataset: Dataset, samples: int, seed: int) -> Int64[np.ndarray, " chosen"]:
    """Positions of the images to analyse, ascending; those of ``choose``.

    Raises:
        UsageError: if ``samples`` is not positive.
    """
    return choose(dataset.labels, len(dataset), samples, seed)


def choose(
    labels: Int64[np.ndarray, " total"] | None, total: int, samples: int, seed: int
) -> Int64[np.ndarray, " chosen"]:
    """Positions of the images to analyse, ascending.

    With labels: each class in proportion to its size (largest remainders; every class at least once if ``samples``
    allows), drawn at random within the class. Without: evenly spaced over the data. All images if there are no more
    than ``samples``.

    Raises:
        UsageError: if ``samples`` is not positive.
    """
    if samples < 1:
        raise UsageError(f"--samples is {samples}; analyse at least one image.")
    if samples >= total:
        return np.arange(total, dtype=np.int64)
    if labels is None:
        return np.arange(samples, dtype=np.int64) * total // samples
    classes, sizes = np.unique(labels, return_counts=True)
    generator = np.random.default_rng(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, _quotas(sizes, samples), strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def describe_selection(dataset: Dataset, samples: int, seed: int) -> str:
    """The choice of ``select`` in words, for the report."""
    total = len(dataset)
    if samples >= total:
        return "the only image" if total == 1 else f"all {total:,} images"
    how = (
        f"drawn with seed {seed}, each class in proportion to its size"
        if dataset.labels is not None
        else "evenly spaced over the data, which has no labels"
    )
    return f"{samples:,} of {total:,} images, {how}"


def _quotas(sizes: Int64[np.ndarray, " classes"], samples: int) -> Int64[np.ndarray, " classes"]:
    """Images per class: proportional shares rounded so that they sum to ``samples``."""
    # Integer arithmetic: a share that is whole must not be rounded to its neighbour.
    shares, remainders = np.divmod(sizes * samples, sizes.sum())
    if samples >= len(sizes):
        # A class too small for a whole image gets one anyway, at the cost of the fullest class.
        remainders = np.where(shares == 0, 0, remainders)
        shares = np.maximum(shares, 1)
    while shares.sum() > samples:
        shares[np.argmax(shares)] -= 1
    order = np.argsort(-remainders, kind="stable")
    shares[order[: samples - shares.sum()]] += 1
    return shares
