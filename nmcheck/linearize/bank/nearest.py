"""The nearest of a bank's points, by Euclidean distance of flattened images in pixel units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int64

_BLOCK = 2**24
"""Distances computed at once (128 MiB)."""


def nearest(
    points: Float[np.ndarray, "k n"], images: Float[np.ndarray, "m n"]
) -> tuple[Int64[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """For every image the position of its nearest point and the distance to that; of several the first."""
    chosen = np.concatenate([block.argmin(axis=1) for _, block in _squared(points, images)]).astype(np.int64)
    return chosen, _distances(points[chosen], images)


def nearest_other(images: Float[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
    """For every image the distance to the nearest of the others; of a single image 0."""
    if len(images) == 1:
        return np.zeros(1)
    chosen = []
    for rows, block in _squared(images, images):
        block[np.arange(len(block)), np.arange(rows.start, rows.start + len(block))] = np.inf
        chosen.append(block.argmin(axis=1))
    return _distances(images[np.concatenate(chosen)], images)


def _squared(points: np.ndarray, images: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances to all points, less each image's own square, a block of images at a time."""
    wide = points.astype(np.float64)
    squares = np.einsum("kn,kn->k", wide, wide)
    step = max(1, _BLOCK // len(points))
    for start in range(0, len(images), step):
        rows = slice(start, start + step)
        yield rows, squares - 2.0 * (images[rows].astype(np.float64) @ wide.T)


def _distances(points: np.ndarray, images: np.ndarray) -> np.ndarray:
    """From the difference itself: the expanded square would leave rounding where the two are equal."""
    step = max(1, _BLOCK // images.shape[1])
    parts = [
        np.linalg.norm(points[start : start + step].astype(np.float64) - images[start : start + step], axis=1)
        for start in range(0, len(images), step)
    ]
    return np.concatenate(parts)
