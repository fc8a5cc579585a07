"""The header of an array in NumPy's format: what will follow, known before it is read, and never unpickled."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from nmcheck.data.memory import check_room, working_bytes
from nmcheck.data.stream import CutOffError, read_exactly
from nmcheck.errors import DataError

MAGIC = b"\x93NUMPY"
_LONGEST = 16_384
"""Bytes of the longest header that is looked at; those of plain arrays have 118."""
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@runtime_checkable
class _File(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class ArrayHeader:
    """What a .npy file says of its array.

    Attributes:
        shape: of the array.
        dtype: of its values, as stored.
        transposed: whether the first axis runs fastest (Fortran's order).
        start: byte the array starts at.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    transposed: bool
    start: int

    @property
    def bytes(self) -> int:
        """Bytes of the array."""
        return prod(self.shape) * self.dtype.itemsize


def read_array_header(file: _File, name: str, array: str) -> ArrayHeader:
    """The header of a file that is at its start.

    Args:
        file: is read a little beyond the header.
        name: of the file, for messages.
        array: what to call the array.

    Raises:
        DataError: there is no header, it is damaged, or the array is not one of numbers.
    """
    # Read first, so that a header that claims to be of gigabytes finds no more than this.
    head = io.BytesIO(file.read(_LONGEST))
    if not head.getvalue().startswith(MAGIC):
        raise DataError(f"{name}: {array} is not in NumPy's format; save it with numpy.save or numpy.savez.")
    try:
        with warnings.catch_warnings():
            # numpy warns of headers that Python 2 wrote, and reads them.
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(head)
            # Later versions are for records with names.
            reader = _READERS.get(version)
            shape, transposed, dtype = reader(head) if reader else ((), False, np.dtype("V1"))
    # A header is an expression, and numpy and Python raise all kinds of errors over one that is damaged.
    except Exception as error:
        raise DataError(
            f"{name}: the header of {array} is damaged ({type(error).__name__}); save the file again."
        ) from error
    if dtype.hasobject:
        raise DataError(
            f"{name}: {array} holds Python objects, which nmcheck never unpickles; save it as an array of numbers."
        )
    if dtype.kind not in "buif":
        what = "record" if dtype.kind == "V" else str(dtype)
        raise DataError(f"{name}: {array} is of type {what}; give real numbers.")
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise DataError(f"{name}: {array} claims the shape {shape}, which no array has; save the file again.")
    return ArrayHeader(tuple(int(length) for length in shape), dtype, bool(transposed), head.tell())


def read_array(path: Path) -> np.ndarray:
    """The array of a .npy file, in this machine's byte order.

    Raises:
        DataError: the file cannot be read, is damaged, or there is not enough memory for it.
    """
    name = "the array"
    try:
        with path.open("rb") as file:
            header = read_array_header(file, str(path), name)
            held = path.stat().st_size - header.start
            if held != header.bytes:
                raise DataError(
                    f"{path}: {name} should take {header.bytes:,} bytes for its shape {header.shape}, but takes "
                    f"{held:,}; save the file again."
                )
            check_room(
                working_bytes(prod(header.shape), header.dtype.itemsize),
                f"{path}: {name} of shape {header.shape}",
                "check the file",
            )
            file.seek(header.start)
            return as_array(read_exactly(file, header.bytes), header)
    except (OSError, CutOffError) as error:
        raise DataError(f"{path} cannot be read: {error}; check the file.") from error


def as_array(content: bytearray, header: ArrayHeader) -> np.ndarray:
    """The bytes behind a header as the array, in this machine's byte order."""
    stored = np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.transposed else "C")
    return stored.astype(header.dtype.newbyteorder("="))


def starts_with_array(path: Path) -> bool:
    """Whether a file begins as one in NumPy's format does.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check the file.") from error
