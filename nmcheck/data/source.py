"""Images that are found but not read yet: their number and shape are known, and the wanted ones are read when asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Int64, Shaped

from nmcheck.data.values import ValueCheck

Read = Callable[[Int64[np.ndarray, " chosen"], ValueCheck], Shaped[np.ndarray, "chosen ..."]]
"""From ascending positions to these images. Whatever passes by on the way is shown to the check."""


@dataclass(frozen=True, eq=False)
class Source:
    """Images that can be read.

    Attributes:
        shape: of all images together, the axis that counts them first.
        dtype: type of their values, in this machine's byte order.
        labels: one for each, as stored; None if there are none.
        read: reads those that are wanted.
        notes: what the user should know of how they were found.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    labels: np.ndarray | None
    read: Read
    notes: tuple[str, ...] = ()


def image_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Bytes of one image."""
    return prod(shape[1:]) * dtype.itemsize
