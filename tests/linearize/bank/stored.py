"""A bank of a tiny network in its file."""

import tracemalloc
from pathlib import Path

import pytest
from linearize.bank.networks import header_of, lenet_graph, points_of

from nmcheck.errors import BankError
from nmcheck.linearize.bank.store import BankFile, create

MOST = 16 * 2**20
"""Bytes that may be taken before a refusal."""


class Bank:
    """A bank on the disk with all points but one done."""

    def __init__(self, folder: Path) -> None:
        graph = lenet_graph(folder)
        self.points = points_of(graph)
        self.header, self.maker = header_of(graph, "relu", self.points, dtype="float16")
        self.constants = self.maker.constants(self.header, self.points.centers[0])
        self.content = [self.maker.make(self.header, index, row) for index, row in enumerate(self.points.centers)]
        self.path = folder / "bank.h5"
        create(self.path, self.header, self.points, self.constants, replace=False)
        with BankFile(self.path, "r+") as file:
            for index in range(len(self.points) - 1):
                file.write(index, self.content[index])


def refusal(path: Path, mode: str = "r") -> str:
    """The sentence that a bank ends in."""
    tracemalloc.start()
    try:
        with pytest.raises(BankError) as refused:
            BankFile(path, "r+" if mode == "r+" else "r")
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.startswith(str(path))
    assert sentence.endswith(".")
    return sentence
