"""The building of a bank: points that are missing are made, by this process or by others, and written by this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from nmcheck.counting import counted
from nmcheck.errors import InterruptedBuildError
from nmcheck.linearize.bank.content import Content
from nmcheck.linearize.bank.header import Header
from nmcheck.linearize.bank.make import PointMaker
from nmcheck.linearize.bank.store import BankFile

Made = Iterable[tuple[int, Content]]
"""Points as they are made, in any order."""
Making = Callable[[Header, list[int], np.ndarray], Made]
"""From the header, the positions wanted and all centers to the points."""


def make_here(maker: PointMaker) -> Making:
    """Points made by this process, one after the other."""

    def making(header: Header, wanted: list[int], centers: np.ndarray) -> Iterator[tuple[int, Content]]:
        for index in wanted:
            yield index, maker.make(header, index, centers[index])

    return making


def complete(file: BankFile, making: Making, advance: Callable[[int], None]) -> None:
    """Make and write the points that are missing.

    Args:
        file: the bank, opened for building.
        making: makes points.
        advance: told of every point written.

    Raises:
        InterruptedBuildError: the user stopped it; all points written stay.
        BankError: a point cannot be written.
    """
    missing = [int(index) for index in np.flatnonzero(~file.done)]
    if not missing:
        return
    try:
        for index, content in making(file.header, missing, file.points.centers):
            file.write(index, content)
            advance(1)
    except KeyboardInterrupt as stop:
        done = int(file.done.sum())
        raise InterruptedBuildError(
            f"Interrupted with {done:,} of {counted(file.header.points, 'point')} done; what is done is "
            f"safe in {file.path}; go on with the same command and --resume."
        ) from stop
