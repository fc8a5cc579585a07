"""Chosen images out of a stream of all of them, of which little more than these is ever in memory."""

from __future__ import annotations

from math import prod
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, Shaped

from nmcheck.data.values import ValueCheck

_BLOCK = 1 << 22
"""Bytes that are looked at together, where an image has no more."""


@runtime_checkable
class Readable(Protocol):
    """An open file of bytes."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill what it can of a buffer."""


class CutOffError(ValueError):
    """A stream ended before the array in it."""


def read_exactly(file: Readable, count: int) -> bytearray:
    """So many bytes.

    Raises:
        CutOffError: there are fewer.
    """
    content = bytearray(count)
    rest = memoryview(content)
    while rest:
        got = file.readinto(rest)
        if not got:
            raise CutOffError(f"it ends {len(rest):,} bytes too early")
        rest = rest[got:]
    return content


def read_images(
    file: Readable, shape: tuple[int, ...], dtype: np.dtype, positions: Int64[np.ndarray, " chosen"], check: ValueCheck
) -> Shaped[np.ndarray, "chosen ..."]:
    """Chosen images of an array that is stored image after image; all of them pass the check.

    Args:
        file: at the array's first byte; afterwards at its end.
        shape: of the whole array.
        dtype: as stored.
        positions: of the chosen images, ascending.
        check: shown all images.

    Returns:
        The images in this machine's byte order.

    Raises:
        CutOffError: the array is not all there.
    """
    count, values = shape[0], prod(shape[1:])
    kept = np.empty((len(positions), values), dtype)
    together = max(1, _BLOCK // (values * dtype.itemsize))
    for start in range(0, count, together):
        stop = min(start + together, count)
        block = np.frombuffer(read_exactly(file, (stop - start) * values * dtype.itemsize), dtype)
        block = block.reshape(stop - start, values)
        check.see(block, np.arange(start, stop))
        low, high = np.searchsorted(positions, (start, stop))
        kept[low:high] = block[positions[low:high] - start]
    return _native(kept).reshape(len(positions), *shape[1:])


def read_transposed_images(
    file: Readable, shape: tuple[int, ...], dtype: np.dtype, positions: Int64[np.ndarray, " chosen"], check: ValueCheck
) -> Shaped[np.ndarray, "chosen ..."]:
    """The same of an array in Fortran's order: the first value of every image, then the second of every image, ...

    Raises:
        CutOffError: the array is not all there.
    """
    count, values = shape[0], prod(shape[1:])
    kept = np.empty((len(positions), values), dtype)
    together = max(1, _BLOCK // (count * dtype.itemsize))
    every = np.arange(count)
    for start in range(0, values, together):
        stop = min(start + together, values)
        block = np.frombuffer(read_exactly(file, (stop - start) * count * dtype.itemsize), dtype)
        block = block.reshape(stop - start, count)
        check.see(block.T, every)
        kept[:, start:stop] = block[:, positions].T
    # The values of an image are in Fortran's order themselves.
    axes = range(len(shape) - 1, 0, -1)
    return _native(kept).reshape(len(positions), *shape[:0:-1]).transpose(0, *axes)


def _native(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("="), copy=False)
