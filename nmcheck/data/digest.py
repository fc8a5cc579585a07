"""A name for the pixels and labels an analysis used."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Float64, Int64


def digest(pixels: Float64[np.ndarray, "images *sample"], labels: Int64[np.ndarray, " images"] | None) -> str:
    """Sha256 over the shape and the values of the pixels, and the labels if there are any.

    The bytes are little-endian float64 and int64, so the digest is the same on every machine.
    """
    state = hashlib.sha256()
    state.update(f"pixels {pixels.shape}\n".encode())
    state.update(np.ascontiguousarray(pixels, dtype="<f8").tobytes())
    if labels is not None:
        state.update(f"labels {labels.shape}\n".encode())
        state.update(np.ascontiguousarray(labels, dtype="<i8").tobytes())
    return state.hexdigest()
