"""What a bank keeps of the matrix A at a point: its Gram matrix, a low-rank factor of that, or A itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nmcheck.errors import UsageError

Kind = Literal["gram", "full", "low-rank"]
Dtype = Literal["float16", "float32"]
_FORMS = "gram, full or low-rank:R with R units of rank, e.g. low-rank:64"


@dataclass(frozen=True)
class Storage:
    """How A, of shape (p, n), is kept.

    All kinds keep the norms s of A's rows in float32, so that the variances of single units are exact, and everything
    else divided by them: what is left lies in [-1, 1] and fits 16 bits whatever the network's scale.

    Attributes:
        kind: ``gram``: the correlations A A' / (s s'), their upper triangle; serves isotropic noise. ``low-rank``: a
            factor F of them with few columns; serves isotropic noise. ``full``: A / s; serves noise of any structure.
        rank: columns of F; 0 for other kinds.
        dtype: type of what is divided by the norms.
    """

    kind: Kind
    rank: int
    dtype: Dtype

    @property
    def name(self) -> str:
        """As the user writes it: ``gram``, ``full`` or ``low-rank:R``."""
        return f"low-rank:{self.rank}" if self.kind == "low-rank" else self.kind

    @property
    def numpy_dtype(self) -> np.dtype:
        """The dtype."""
        return np.dtype(self.dtype)

    def arrays(self, n: int, p: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Names, shapes and types of what is kept of one A."""
        shapes: dict[Kind, tuple[str, tuple[int, ...]]] = {
            "gram": ("correlations", (p * (p - 1) // 2,)),
            "full": ("rows", (p, n)),
            "low-rank": ("factor", (p, self.rank)),
        }
        name, shape = shapes[self.kind]
        return {"norms": ((p,), np.dtype(np.float32)), name: (shape, self.numpy_dtype)}


def parse_storage(text: str, dtype: str) -> Storage:
    """The storage that ``--store`` and ``--dtype`` mean.

    Raises:
        UsageError: they mean none.
    """
    types: dict[str, Dtype] = {"float16": "float16", "float32": "float32"}
    if dtype not in types:
        raise UsageError(f"--dtype must be float16 or float32, not '{dtype}'.")
    kinds: dict[str, Kind] = {"gram": "gram", "full": "full"}
    if text in kinds:
        return Storage(kinds[text], 0, types[dtype])
    match = re.fullmatch(r"low-rank:(\d{1,9})", text)
    if match is None or int(match[1]) < 1:
        raise UsageError(f"--store must be {_FORMS}, not '{text}'.")
    return Storage("low-rank", int(match[1]), types[dtype])
