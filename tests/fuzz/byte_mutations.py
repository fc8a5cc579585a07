"""Damage to a file's bytes, whatever they mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_OUTER = 2000
"""Bytes at either end of a file; the weights, of which most files consist, are mostly between them."""


def _position(size: int, random: np.random.Generator) -> int:
    """Anywhere, or, as often, near an end, where the graph is."""
    place = int(random.integers(0, 3))
    if place == 0 or size <= 2 * _OUTER:
        return int(random.integers(0, size))
    offset = int(random.integers(0, _OUTER))
    return offset if place == 1 else size - 1 - offset


def flipped_bits(data: bytes, random: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    for _ in range(int(2 ** random.integers(0, 6))):
        damaged[_position(len(data), random)] ^= 1 << int(random.integers(0, 8))
    return bytes(damaged)


def overwritten(data: bytes, random: np.random.Generator) -> bytes:
    start, length = _position(len(data), random), int(2 ** random.integers(0, 10))
    fill = random.integers(0, 3)
    block = bytes(length) if fill == 0 else b"\xff" * length if fill == 1 else random.bytes(length)
    return data[:start] + block[: len(data) - start] + data[start + length :]


def truncated(data: bytes, random: np.random.Generator) -> bytes:
    return data[: _position(len(data), random)]


def removed_bytes(data: bytes, random: np.random.Generator) -> bytes:
    start = _position(len(data), random)
    return data[:start] + data[start + int(2 ** random.integers(0, 8)) :]


def inserted_bytes(data: bytes, random: np.random.Generator) -> bytes:
    start = _position(len(data), random)
    return data[:start] + random.bytes(int(2 ** random.integers(0, 8))) + data[start:]


def repeated_bytes(data: bytes, random: np.random.Generator) -> bytes:
    start, length = _position(len(data), random), int(2 ** random.integers(0, 10))
    return data[:start] + data[start : start + length] * 2 + data[start + length :]


def moved_bytes(data: bytes, random: np.random.Generator) -> bytes:
    source, target, length = (*(_position(len(data), random) for _ in range(2)), int(2 ** random.integers(0, 8)))
    block = data[source : source + length]
    return data[:target] + block + data[target + len(block) :]


BYTE_MUTATIONS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "flipped bits": flipped_bits,
    "overwritten bytes": overwritten,
    "truncated": truncated,
    "removed bytes": removed_bytes,
    "inserted bytes": inserted_bytes,
    "repeated bytes": repeated_bytes,
    "moved bytes": moved_bytes,
}
