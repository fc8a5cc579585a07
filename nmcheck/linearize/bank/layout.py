"""Where the arrays of a bank stand in its file, and the checksum over them (docs/bank-format.md)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from nmcheck.linearize.bank.content import Content
from nmcheck.linearize.bank.header import Arrays, Header


def datasets(header: Header) -> Arrays:
    """All datasets of a file."""
    k = header.points
    per_point: Mapping[str, Arrays] = {"": header.choice_arrays, "points/": header.point_arrays}
    found: Arrays = {
        f"{group}{name}": ((k, *shape), dtype)
        for group, arrays in per_point.items()
        for name, (shape, dtype) in arrays.items()
    }
    found |= {f"constants/{name}": entry for name, entry in header.constant_arrays.items()}
    return found | {"done": ((k,), np.dtype(np.uint8)), "checksum": ((k,), np.dtype(np.uint32))}


def checksum(content: Content) -> int:
    """crc32 of all arrays in the order of their names; it tells every change of a single byte."""
    value = 0
    for name in sorted(content):
        value = zlib.crc32(np.ascontiguousarray(content[name]).tobytes(), value)
    return value
